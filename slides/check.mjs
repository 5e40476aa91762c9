// Looks at the built deck in a browser, without a network: does everything fit, can it be
// read, is it all there? Prints what is wrong and exits 1.
import { existsSync } from 'node:fs'
import { launch } from './browser.mjs'
import { diagrams } from './diagrams.mjs'

const deck = new URL('dist/index.html', import.meta.url)
const wrong = []

for (const { name } of diagrams.filter((diagram) => !diagram.isFresh)) {
  wrong.push(`diagrams/${name} is newer than its SVG: make slides draws it`)
}

const browser = await launch()
const page = await browser.newPage()
await page.setOfflineMode(true)
page.on('request', (request) => {
  if (!/^(data|blob):/.test(request.url()) && request.url() !== deck.href) {
    wrong.push(`asks for ${request.url()}`)
  }
})
page.on('pageerror', (error) => wrong.push(`script: ${error.message}`))
await page.setViewport({ width: 1280, height: 720 })
await page.goto(deck.href)
// On paper all slides are there at once. A font that the first one does not use is not
// loaded yet, and in another font a text has another size.
await page.emulateMediaType('print')
await page.evaluate(() => Promise.all([...document.fonts].map((font) => font.load())))
const { problems, links, count, smallest } = await page.evaluate(look)
wrong.push(...new Set(problems))
for (const link of links) {
  if (!existsSync(new URL(link.split('#')[0], deck))) wrong.push(`no file for the link ${link}`)
}
await browser.close()

wrong.forEach((problem) => console.error(problem))
for (const [what, { size, text, title }] of Object.entries(smallest)) {
  console.log(`smallest ${what}: ${size.toFixed(1)} px, "${text}" of "${title}"`)
}
console.log(`${count} slides, ${links.length} links into the repository, ${wrong.length} problems`)
process.exitCode = wrong.length ? 1 : 0

/** Runs in the page. A slide is exempt from one check by `_exempt: "CHECK: a sentence"`. */
function look() {
  const problems = []
  const smallest = {}
  const sections = [...document.querySelectorAll('section[data-marpit-pagination], section.title')]
  for (const section of sections) {
    const title = section.querySelector('h1, h2').textContent
    const [, exempt, why] = (section.dataset.exempt ?? '').match(/^(\w+): (.*)$/) ?? []
    if (section.dataset.exempt && !(why?.length > 20)) problems.push(`"${title}": exempt from a check without a sentence`)
    const report = (problem, check) => (check && exempt === check) || problems.push(`"${title}": ${problem}`)
    const box = section.getBoundingClientRect()
    const scale = box.width / 1280
    const padding = getComputedStyle(section)
    const [left, right, top, bottom] = ['Left', 'Right', 'Top', 'Bottom'].map((side) =>
      parseFloat(padding[`padding${side}`]) * scale)
    let lowest = 0
    for (const element of section.querySelectorAll('*')) {
      if (element.closest('h2, footer, script, .step, .diagram svg *')) continue
      const { x, y, width, height } = element.getBoundingClientRect()
      if (width === 0 || height === 0) continue
      const out = Math.max(
        box.x + left - x,
        x + width - (box.x + box.width - right),
        box.y + top - y,
        y + height - (box.y + box.height - bottom),
      )
      if (out > 1) report(`${element.tagName} is ${Math.round(out / scale)} px outside`)
      lowest = Math.max(lowest, (y + height - box.y) / box.height)
    }
    if (lowest < 0.75 && !section.matches('.title, .section, .question')) {
      report(`the lowest ${Math.round(100 - 100 * lowest)} % are empty`, 'empty')
    }
    for (const element of section.querySelectorAll('pre, table, .diagram')) {
      if (element.scrollWidth > element.clientWidth + 1) report(`${element.tagName} is cut off`)
    }
    for (const element of section.querySelectorAll('.diagram svg *')) {
      if (!element.getBBox || element.closest('defs, marker')) continue
      const [inner, outer] = [element, element.closest('svg')].map((some) => some.getBoundingClientRect())
      const sides = [outer.left - inner.left, inner.right - outer.right, outer.top - inner.top, inner.bottom - outer.bottom]
      if (Math.max(...sides) > 1) report(`${element.tagName} of the diagram is cut off`, 'clipped')
    }
    const count = [...section.querySelectorAll('p, li, td, th')].flatMap(linesOf).flatMap(({ words }) => words).length
    if (count > 110) report(`${count} words are too many`, 'full')
    for (const element of section.querySelectorAll('h1, h2, p, li')) {
      const lines = linesOf(element)
      const last = lines.at(-1)
      if (lines.length > 1 && last.words.length === 1 && last.words[0].width < 0.2 * element.clientWidth * scale) {
        report(`"${last.words[0].text}" stands alone on a line`, 'lonely')
      }
    }
    const walker = document.createTreeWalker(section, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement
      const isShown = element.getClientRects().length > 0
      if (!walker.currentNode.data.trim() || !isShown || element.closest('style, script')) continue
      const text = walker.currentNode.data.trim().slice(0, 30)
      const style = getComputedStyle(element)
      const svg = element.closest('svg:not([data-marpit-svg])')
      const zoom = svg ? svg.getScreenCTM().a / scale : 1
      const size = parseFloat(style.fontSize) * zoom
      const isChart = svg && !svg.id.startsWith('diagram-')
      const kind = element.closest('footer, figcaption') ? 'caption' : !svg ? 'text' : isChart ? 'chart' : 'diagram'
      const least = { caption: 16, text: 18, chart: 24, diagram: 24 }[kind]
      if (size < least - 0.01) report(`${svg ? 'a label of the diagram' : `"${text}"`} has ${size.toFixed(1)} px`, 'small')
      if (!(smallest[kind]?.size <= size)) smallest[kind] = { size, text, title }
      const contrast = ratio(svg ? style.fill : style.color, svg ? 'rgb(255, 255, 255)' : background(element))
      // The names on a diagram's dark boxes are white by its own theme.
      if (contrast < 4.5 && !(svg && style.fill === 'rgb(255, 255, 255)')) {
        report(`"${text}" has a contrast of ${contrast.toFixed(2)}`)
      }
    }
  }
  const links = [...document.querySelectorAll('section a[href]')].map((a) => a.getAttribute('href'))
  return { problems, links: links.filter((link) => !/^(\w+:|#)/.test(link)), count: sections.length, smallest }

  /** The words of a paragraph or an item, without those of an item in it, by lines. */
  function linesOf(block) {
    const lines = []
    const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const node = walker.currentNode
      if (node.parentElement.closest('h1, h2, p, li, td, th') !== block) continue
      for (const match of node.data.matchAll(/\S+/g)) {
        const range = document.createRange()
        range.setStart(node, match.index)
        range.setEnd(node, match.index + match[0].length)
        const { y, height, width } = range.getBoundingClientRect()
        const middle = y + height / 2
        const line = lines.at(-1)
        if (line && Math.abs(line.middle - middle) < height / 2) line.words.push({ text: match[0], width })
        else lines.push({ middle, words: [{ text: match[0], width }] })
      }
    }
    return lines
  }

  function background(element) {
    const color = getComputedStyle(element).backgroundColor
    return color === 'rgba(0, 0, 0, 0)' ? background(element.parentElement) : color
  }

  /** WCAG 2.2, relative luminance and contrast ratio. */
  function ratio(...colors) {
    const [dark, light] = colors.map(luminance).sort((a, b) => a - b)
    return (light + 0.05) / (dark + 0.05)
  }

  function luminance(color) {
    const [r, g, b] = color.match(/[\d.]+/g).map((part) => {
      const c = part / 255
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
}
