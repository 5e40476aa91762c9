// The deck as it is handed out: built by Marp, with and without the repository's address.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { inflateSync } from 'node:zlib'
import { launch } from './browser.mjs'
import { clock, plan, slides } from './source.mjs'

const ADDRESS = 'https://example.org/a/lecture'
const here = new URL('.', import.meta.url)
const folder = mkdtempSync(join(tmpdir(), 'deck-'))
process.on('exit', () => rmSync(folder, { recursive: true }))

function build(name, repository) {
  const path = join(folder, name)
  const marp = new URL('node_modules/@marp-team/marp-cli/marp-cli.js', here)
  const env = { ...process.env, REPOSITORY: repository }
  execFileSync(process.execPath, [marp.pathname, 'deck.md', '--no-stdin', '-o', path], { cwd: here, env, stdio: 'pipe' })
  return readFileSync(path, 'utf8')
}

const sections = (html) => html.match(/<section [^]*?<\/section>/g)
const hrefs = (html) => [...html.matchAll(/<a href="([^"#]*)/g)].map(([, href]) => href)

test('with an address every link leads there, and the third slide shows it', () => {
  const html = build('address.html', ADDRESS)
  const local = hrefs(html).filter((href) => !/^https?:/.test(href))
  assert.deepEqual(local, [])
  assert(hrefs(html).includes(`${ADDRESS}/blob/main/crates/tcp-echo/README.md`), 'a link into the repository')
  const third = sections(html)[2]
  assert.match(third, /class="address" role="img" aria-label="[^"]+"/)
  assert(third.includes(`<figcaption>${ADDRESS}</figcaption>`), 'the address to type')
})

test('the third slide has room for the address', async () => {
  const browser = await launch()
  try {
    const page = await browser.newPage()
    await page.setViewport({ width: 1280, height: 720 })
    await page.goto(`file://${join(folder, 'address.html')}#3`)
    await page.waitForSelector('.bespoke-marp-active .address')
    const bottom = await page.$eval('.bespoke-marp-active .address', (figure) => figure.getBoundingClientRect().bottom)
    assert(bottom <= 680, `its bottom is at ${bottom} of 680 px`)
  } finally {
    await browser.close()
  }
})

test('without an address links stay relative, and there is no code to scan', () => {
  const html = build('none.html', '')
  assert(hrefs(html).includes('../../crates/tcp-echo/README.md'), 'a relative link')
  assert(!html.includes('class="address"'), 'no code')
})

test('each note has the clock of both plans', () => {
  const html = build('notes.html', '')
  const notes = [...html.matchAll(/<div class="bespoke-marp-note"[^>]*><p>(.*?)<\/div>/gs)].map(([, text]) => text)
  for (const [i, { title, session, full, short, isLong }] of plan().entries()) {
    const when = `By now ${clock(full)} of session ${session}; ${isLong ? 'left out' : clock(short)} on the short path.`
    assert(notes[i].includes(when), `"${title}": ${when} is not in: ${notes[i].slice(0, 100)}`)
  }
})

test('the presenter view counts the slides of the lecture alone', async () => {
  build('presenter.html', '')
  const browser = await launch()
  try {
    const page = await browser.newPage()
    const core = plan().length
    for (const [slide, expected] of [[3, `3 / ${core}`], [core + 1, `${core + 1} (extra)`]]) {
      await page.goto(`file://${join(folder, 'presenter.html')}?view=presenter&sync=${slide}#${slide}`)
      await page.waitForFunction(
        (text) => document.querySelector('.bespoke-marp-presenter-info-page')?.textContent.trim() === text,
        { timeout: 10_000 }, expected)
    }
  } finally {
    await browser.close()
  }
})

test('the outline of the PDF has one entry for each slide, below its section', () => {
  const bytes = readFileSync(new URL('dist/network-programming.pdf', here))
  const entries = outline(bytes)
  const all = slides()
  assert.equal(entries.length, all.length, 'entries')
  const roots = all.filter((slide, i) => i === 0 || slide.is('section')).length
  assert.equal(entries.filter(({ depth }) => depth === 1).length, roots, 'sections')
})

/** The entries of a PDF's outline with their depth, found in its compressed objects. */
function outline(bytes) {
  const text = bytes.toString('latin1')
  const objects = new Map()
  for (const { 0: all, 1: dictionary, index } of text.matchAll(/<<((?:(?!endobj).)*?\/ObjStm.*?)>>\s*stream\r?\n/gs)) {
    const content = inflateSync(bytes.subarray(index + all.length)).toString('latin1')
    const first = Number(dictionary.match(/\/First (\d+)/)[1])
    const numbers = content.slice(0, first).trim().split(/\s+/).map(Number)
    for (let i = 0; i < numbers.length; i += 2) {
      objects.set(numbers[i], content.slice(first + numbers[i + 1], first + (numbers[i + 3] ?? Infinity)))
    }
  }
  const parent = (object) => objects.get(Number(object?.match(/\/Parent (\d+) 0 R/)?.[1]))
  const depth = (object) => (object ? 1 + depth(parent(object)) : -1)
  const entries = [...objects.values()].filter((object) => /\/Title/.test(object) && /\/Parent/.test(object))
  return entries.map((object) => ({ depth: depth(object) }))
}
