// Draws the diagrams that are older than their sources: diagrams/*.mmd to *.svg. Each SVG
// names the hash of what it was made of, so that a stale one is found without a browser.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { launch } from './browser.mjs'

const folder = new URL('diagrams/', import.meta.url)
const read = (path, encoding) => readFileSync(new URL(`node_modules/${path}`, import.meta.url), encoding)
const library = read('mermaid/dist/mermaid.min.js', 'utf8')
const { version } = JSON.parse(read('mermaid/package.json', 'utf8'))
const face = read('@fontsource/source-sans-3/files/source-sans-3-latin-400-normal.woff2', 'base64')
// The deck's own; where a diagram is seen alone, what is there.
const font = '"Source Sans 3", Arial, sans-serif'
const [ink, line, panel, accent] = ['#1c2733', '#56616d', '#f5f7f9', '#a8380b']
// Around a diagram, so that no arrowhead and no lifeline is cut off.
const PADDING = 8
const config = {
  startOnLoad: false,
  theme: 'base',
  htmlLabels: false,
  fontFamily: font,
  // Mermaid gives each message of a sequence two lines; measured smaller they are closer.
  fontSize: 19,
  themeCSS: '.edgeLabel rect { opacity: 1 } .messageText { font-size: 26px !important } :is(.noteText, .noteText > tspan) { font-size: 25px !important } .actor > tspan { font-size: 26px !important }',
  themeVariables: {
    fontFamily: font,
    fontSize: '26px',
    textColor: ink,
    lineColor: line,
    primaryColor: panel,
    primaryTextColor: ink,
    primaryBorderColor: line,
    actorBkg: '#17212c',
    actorBorder: '#17212c',
    actorTextColor: '#ffffff',
    actorLineColor: '#9aa5b1',
    signalColor: accent,
    signalTextColor: ink,
    noteBkgColor: '#fbefe8',
    noteBorderColor: '#e3b79f',
    noteTextColor: ink,
    clusterBkg: '#ffffff',
    clusterBorder: '#9aa5b1',
    edgeLabelBackground: '#ffffff',
  },
  sequence: {
    mirrorActors: false,
    actorFontWeight: 700,
    diagramMarginX: 4,
    diagramMarginY: 4,
    actorMargin: 110,
    boxMargin: 4,
    noteMargin: 9,
    height: 50,
  },
  flowchart: { htmlLabels: false, curve: 'basis', padding: 14, subGraphTitleMargin: { top: 6, bottom: 12 } },
}

/** What each diagram is made of, and the one that was made of it. */
export const diagrams = readdirSync(folder)
  .filter((name) => name.endsWith('.mmd'))
  .map((name) => {
    const source = readFileSync(new URL(name, folder), 'utf8')
    const made = version + PADDING + JSON.stringify(config) + source
    const hash = createHash('sha256').update(made).digest('hex')
    const svg = new URL(name.replace('.mmd', '.svg'), folder)
    const isFresh = existsSync(svg) && readFileSync(svg, 'utf8').includes(`<!-- ${hash} -->`)
    return { name, source, hash, svg, isFresh }
  })

async function draw(stale) {
  const browser = await launch()
  for (const { name, source, hash, svg } of stale) {
    // A page each: Mermaid counts its diagrams, and the count would be in the SVG.
    const page = await browser.newPage()
    await page.addScriptTag({ content: library })
    await page.addStyleTag({
      content: `@font-face { font-family: 'Source Sans 3'; font-weight: 100 900;
        src: url('data:font/woff2;base64,${face}'); }`,
    })
    await page.evaluate(() => document.fonts.load('18px "Source Sans 3"'))
    await page.evaluate((config) => mermaid.initialize(config), config)
    const id = `diagram-${name.replace('.mmd', '')}`
    const drawn = await page.evaluate(async (id, source) => (await mermaid.render(id, source)).svg, id, source)
    const [viewBox, left, top, width, height] = drawn.match(/viewBox="(\S+) (\S+) (\S+) (\S+)"/)
    const box = [left, top, width, height].map(Number)
    // Mermaid's lifelines go on below the picture, and its arrowheads reach its edge.
    // White behind it, since a page that shows it may be dark.
    const cut = drawn
      .replace('style="', 'style="background: #fff; ')
      .replaceAll('y2="2000"', `y2="${box[1] + box[3]}"`)
      .replace(viewBox, `viewBox="${box[0] - PADDING} ${box[1] - PADDING} ${box[2] + 2 * PADDING} ${box[3] + 2 * PADDING}"`)
    const rounded = cut.replace(/(\.\d\d)\d+/g, '$1')
    writeFileSync(svg, `${rounded}\n<!-- ${hash} -->\n`)
    console.log(`Drew ${name}`)
  }
  await browser.close()
}

const stale = diagrams.filter((diagram) => !diagram.isFresh)
if (process.argv[1].endsWith('diagrams.mjs') && stale.length) await draw(stale)
