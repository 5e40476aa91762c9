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
const { problems, links, count } = await page.evaluate(look)
wrong.push(...problems)
for (const link of links) {
  if (!existsSync(new URL(link.split('#')[0], deck))) wrong.push(`no file for the link ${link}`)
}
await browser.close()

wrong.forEach((problem) => console.error(problem))
console.log(`${count} slides, ${links.length} links into the repository, ${wrong.length} problems`)
process.exitCode = wrong.length ? 1 : 0

/** Runs in the page. */
function look() {
  const problems = []
  const sections = [...document.querySelectorAll('section[data-marpit-pagination], section.title')]
  for (const section of sections) {
    const title = section.querySelector('h1, h2').textContent
    const report = (problem) => problems.push(`"${title}": ${problem}`)
    const box = section.getBoundingClientRect()
    const scale = box.width / 1280
    const padding = getComputedStyle(section)
    const [left, right, top, bottom] = ['Left', 'Right', 'Top', 'Bottom'].map((side) =>
      parseFloat(padding[`padding${side}`]) * scale)
    for (const element of section.querySelectorAll('*')) {
      if (element.closest('h2, footer, .step, .diagram svg *')) continue
      const { x, y, width, height } = element.getBoundingClientRect()
      if (width === 0 || height === 0) continue
      const out = Math.max(
        box.x + left - x,
        x + width - (box.x + box.width - right),
        box.y + top - y,
        y + height - (box.y + box.height - bottom),
      )
      if (out > 1) report(`${element.tagName} is ${Math.round(out / scale)} px outside`)
    }
    for (const element of section.querySelectorAll('pre, table, .diagram')) {
      if (element.scrollWidth > element.clientWidth + 1) report(`${element.tagName} is cut off`)
    }
    const walker = document.createTreeWalker(section, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement
      const isShown = element.getClientRects().length > 0
      if (!walker.currentNode.data.trim() || !isShown || element.closest('style')) continue
      const text = walker.currentNode.data.trim().slice(0, 30)
      const style = getComputedStyle(element)
      const svg = element.closest('svg:not([data-marpit-svg])')
      const zoom = svg ? svg.getScreenCTM().a / scale : 1
      const size = parseFloat(style.fontSize) * zoom
      const least = element.closest('footer, figcaption') ? 16 : svg ? 17 : 18
      if (size < least - 0.01) report(`"${text}" has ${size.toFixed(1)} px`)
      const contrast = ratio(svg ? style.fill : style.color, svg ? 'rgb(255, 255, 255)' : background(element))
      // The names on a diagram's dark boxes are white by its own theme.
      if (contrast < 4.5 && !(svg && style.fill === 'rgb(255, 255, 255)')) {
        report(`"${text}" has a contrast of ${contrast.toFixed(2)}`)
      }
    }
  }
  const links = [...document.querySelectorAll('section a[href]')].map((a) => a.getAttribute('href'))
  return { problems, links: links.filter((link) => !/^(\w+:|#)/.test(link)), count: sections.length }

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
