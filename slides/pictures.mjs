// Draws the pictures of the front page from the real things, into ../pictures: a slide, the
// chat, a diagram of the wiretap's, a chart. `make pictures`; or some, by their names.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { launch } from './browser.mjs'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const escape = (text) => text.replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c])
const face = readFileSync(here('node_modules/@fontsource/source-sans-3/files/source-sans-3-latin-400-normal.woff2'))
const [MOST_BYTES, PATIENCE] = [150_000, 20_000]

/** A program of ws-chat's, and the lines that it prints. */
function start(...words) {
  const child = spawn('cargo', ['run', '-q', '-p', 'ws-chat', ...words], { cwd: here('..'), stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = []
  let wake = () => {}
  createInterface({ input: child.stdout }).on('line', (line) => wake(lines.push(line)))
  /** Waits for a line with these words; returns what follows them. */
  const waitFor = (words) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no "${words}" in ${lines}`)), PATIENCE)
      wake = () => {
        const line = lines.find((line) => line.includes(words))
        if (line !== undefined) resolve(line.split(words)[1], clearTimeout(timer))
      }
      wake()
    })
  const typed = new Set()
  const type = (line) => (typed.add(line), lines.push(line), child.stdin.write(`${line}\n`))
  return { lines, typed, waitFor, type, end: () => child.kill('SIGINT') }
}

/** A drawing of ours, on a ground of its own: a page may be light or dark. */
async function drawing(page, shoot, path, width) {
  await page.setViewport({ width, height: 400, deviceScaleFactor: 1.5 })
  await page.setContent(`<style>
    @font-face { font-family: 'Source Sans 3'; src: url('data:font/woff2;base64,${face.toString('base64')}') }
    body { margin: 0; padding: 16px; background: #fff } svg { display: block; width: 100%; height: auto; margin: auto }
    </style>${readFileSync(here(path), 'utf8')}`)
  await page.evaluate(() => document.fonts.load('18px "Source Sans 3"'))
  await shoot({ fullPage: true })
}

const pictures = {
  async slide(page, shoot) {
    const deck = here('dist/index.html')
    if (!existsSync(deck)) throw new Error('the deck is not built: make slides')
    await page.setViewport({ width: 1120, height: 630 })
    await page.goto(`file://${deck}`)
    const number = await page.evaluate(() => {
      const slides = [...document.querySelectorAll('svg.bespoke-marp-slide')]
      return 1 + slides.findIndex((slide) => slide.querySelector('h2')?.textContent.startsWith('An async server'))
    })
    if (!number) throw new Error('no slide begins "An async server"')
    await page.goto(`file://${deck}#${number}`)
    await page.reload()
    await page.addStyleTag({ content: '.bespoke-marp-osc { display: none !important }' })
    await shoot()
  },

  async chat(page, shoot) {
    const server = start('--', '127.0.0.1:0')
    try {
      const address = await server.waitFor('WebSocket server on ws://')
      const rui = start('--bin', 'ws-client', '--', `ws://${address}`)
      await rui.waitFor('Connected to server')
      await page.setViewport({ width: 1200, height: 520 })
      await page.setContent(`<style>
        body { display: flex; gap: 16px; margin: 0; padding: 16px; height: 488px; background: #d5dbe1; color-scheme: light }
        iframe, pre { flex: 1; min-width: 0; margin: 0; border: 0; border-radius: 10px; box-shadow: 0 1px 6px #0004 }
        pre { box-sizing: border-box; padding: 20px; background: #17212c; color: #b9c3cd; font: 18px/1.6 monospace; white-space: pre-wrap }
        b { color: #fff }
        </style><iframe src="http://${address}"></iframe><pre></pre>`)
      const frame = await (await page.waitForSelector('iframe')).contentFrame()
      const waitFor = (text) => frame.waitForFunction((text) => document.body.innerText.includes(text), { timeout: PATIENCE }, text)
      await waitFor('Connected to')
      await frame.type('#nameBox', 'Ana')
      const say = async (text) => {
        await frame.type('#messageBox', `${text}\n`)
        await rui.waitFor(text)
      }
      await say('Olá! I am in a browser.')
      rui.type('And I am in a terminal.')
      await waitFor('in a terminal')
      await say('<b>This</b> stays text.')
      rui.type('One server, one port, all at once.')
      await waitFor('all at once')
      // What was typed is bright, what was printed is not.
      const html = (line) => (rui.typed.has(line) ? `<b>${escape(line)}</b>` : escape(line))
      const lines = ['<b>$ cargo run -p ws-chat --bin ws-client</b>', ...rui.lines.map(html)]
      await page.evaluate((html) => (document.querySelector('pre').innerHTML = html), lines.join('\n'))
      await shoot()
      rui.end()
    } finally {
      server.end()
    }
  },

  ladder: (page, shoot) => drawing(page, shoot, 'diagrams/tasks.svg', 830),
  scoreboard: (page, shoot) => drawing(page, shoot, 'scoreboard/rate.svg', 1000),
}

const asked = process.argv.slice(2)
mkdirSync(here('../pictures'), { recursive: true })
const browser = await launch()
try {
  for (const name of asked.length ? asked : Object.keys(pictures)) {
    if (!pictures[name]) throw new Error(`no picture "${name}": there are ${Object.keys(pictures).join(', ')}`)
    const page = await browser.newPage()
    const path = here(`../pictures/${name}.png`)
    await pictures[name](page, (options) => page.screenshot({ path, ...options }))
    const { size } = statSync(path)
    if (size > MOST_BYTES) throw new Error(`${name}.png has ${size} bytes, more than ${MOST_BYTES}`)
    console.log(`Drew ${name}.png, ${size} bytes`)
  }
} finally {
  await browser.close()
}
