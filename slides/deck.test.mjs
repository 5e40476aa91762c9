// The deck agrees with the programs: each listing is there and fits, each program is
// shown, the minutes add up. Needs nothing but Node. `make slides-check` also looks at the
// pages themselves (check.mjs).
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { Script } from 'node:vm'
import { code, examples, files, items, read, root, shown, slides, transcripts } from './source.mjs'

const CORE_SLIDES = 60
const MINUTES = 120
// What fits a slide at 18 px, the smallest; up to 20 lines are shown at 22 px.
const LINES = 25
const COLUMNS = 86

const all = slides()
const core = all.filter((slide) => slide.class !== 'extra')
const programs = examples.flatMap((example) => files(`crates/${example}/src/bin/`))
const rust = (folder) => files(folder).filter((path) => path.endsWith('.rs'))
const textOf = (paths) => paths.map((path) => read(new URL(path, root))).join('\n')

test('every listing names an item and fits', () => {
  const listings = all.flatMap((slide) => shown(slide).map((link) => ({ slide, ...link })))
  const wrong = listings
    .filter(({ path }) => !path.endsWith('.md'))
    .flatMap(({ slide, ...link }) => wrongIn(link).map((what) => `"${slide.title}": ${link.path}#${link.part} ${what}`))
  assert.deepEqual(wrong, [])
})

function wrongIn({ path, part, title }) {
  let lines
  try {
    lines = code(path, part).split('\n')
  } catch (error) {
    return [error.message]
  }
  const wrong = title.split(/[|,-]/).filter((number) => number && !(number >= 1 && number <= lines.length))
  return [
    ...(lines.length > LINES ? [`has ${lines.length} lines`] : []),
    ...(lines.some((line) => [...line].length > COLUMNS) ? ['is too wide'] : []),
    ...wrong.map((number) => `has no line ${number}`),
  ]
}

test('every program is shown', () => {
  const paths = all.flatMap(shown).map(({ path }) => path)
  for (const program of programs) assert(paths.includes(`../${program}`), `no slide shows ${program}`)
  assert(programs.length > 20, 'programs were found')
})

test('each example is run on one slide, with the transcripts of its README', () => {
  const runs = all.filter((slide) => slide.title.startsWith('Run it: ')).flatMap(shown)
  for (const example of examples) {
    const readme = `../crates/${example}/README.md`
    const run = runs.filter(({ path }) => path === readme)
    assert.equal(run.length, 1, `slides that run ${example}`)
    const count = transcripts(readme).length
    assert(count > 0, `${readme} shows no transcript`)
    for (const number of run[0].title.split(',').filter(Boolean)) {
      assert(number >= 1 && number <= count, `${readme} has no transcript ${number}`)
    }
  }
})

test('the core slides fit two hours and the schedule adds up', () => {
  assert(core.length <= CORE_SLIDES, `${core.length} core slides`)
  const sections = []
  let section = 'Introduction'
  for (const slide of core) {
    const minutes = slide.notes.match(/^\s*(\d+) min\.$/m)
    assert(minutes && slide.notes.trim().startsWith(minutes[0].trim()), `"${slide.title}": no minutes`)
    if (slide.class === 'section') section = slide.title
    if (sections.at(-1)?.section !== section) sections.push({ section, sum: 0 })
    sections.at(-1).sum += Number(minutes[1])
  }
  let from = 0
  const planned = sections.map(({ section, sum }) => {
    const row = `| ${Math.floor(from / 60)}:${String(from % 60).padStart(2, '0')} | ${section} | ${sum} |`
    from += sum
    return row
  })
  const schedule = all.find((slide) => slide.text.includes('\n| from |')).text
  const rows = [...schedule.matchAll(/^(\| \d+:\d\d \|.*?\|.*?\|)/gm)].map((match) => match[1])
  assert.deepEqual(rows, planned, 'the schedule, and what the notes say')
  assert.equal(from, MINUTES)
})

test('every slide has notes, and no extra one stands among the core', () => {
  for (const slide of all) assert(slide.notes.trim().length > 20, `"${slide.title}": no notes`)
  const titles = all.map((slide) => slide.title).sort()
  const twice = titles.filter((title, i) => title === titles[i + 1])
  assert.deepEqual(twice, [], 'two slides of one title')
  assert.deepEqual(all.slice(0, core.length), core, 'an extra slide stands among the core')
})

test('each section with an example ends with an exercise which a test judges', () => {
  const sections = []
  for (const slide of core) slide.class === 'section' || !sections.length ? sections.push([slide]) : sections.at(-1).push(slide)
  for (const section of sections) {
    const hasExample = section.some((slide) => shown(slide).length > 0)
    const last = section.at(-1)
    assert.equal(last.class === 'exercise', hasExample, `"${last.title}"`)
  }
  for (const slide of core.filter((slide) => slide.class === 'exercise')) {
    const example = slide.text.match(/cp -r crates\/(\S+)/)?.[1]
    const name = slide.text.match(/\ncargo test (\S+)/)?.[1]
    assert(example && name, `"${slide.title}": what to copy, and the test that judges it`)
    const tests = textOf(rust(`crates/${example}/tests/`))
    assert(tests.includes(`fn ${name}(`), `"${slide.title}": the tests of ${example} have no ${name}`)
  }
})

test('what the deck names exists', () => {
  const folders = files('crates/').filter((path) => /^crates\/(tools\/)?[\w-]+\/tests\/.*\.rs$/.test(path))
  const tests = textOf(folders)
  for (const slide of all) {
    const where = `"${slide.title}":`
    for (const [, link] of slide.text.matchAll(/\]\(([^)# ]*)/g)) {
      assert(link.includes(':') || existsSync(new URL(link, import.meta.url)), `${where} no ${link}`)
    }
    for (const [, word] of (slide.text + slide.notes).matchAll(/`([^`]*)`/g)) {
      const isTest = word.match(/_/g)?.length > 3 && !/[ :]/.test(word)
      assert(!isTest || tests.includes(`fn ${word}(`), `${where} no test ${word}`)
      const example = word.match(/^make demo-(.*)/)?.[1]
      assert(!example || existsSync(new URL(`crates/${example}/demo.toml`, root)) || existsSync(new URL(`crates/tools/${example}/demo.toml`, root)), `${where} ${word}`)
    }
  }
})

test('the script of each page is JavaScript', () => {
  for (const page of examples.flatMap((example) => files(`crates/${example}/`)).filter((path) => path.endsWith('.html'))) {
    for (const [, script] of read(new URL(page, root)).matchAll(/<script>(.*?)<\/script>/gs)) new Script(script)
  }
})

test('an item is the whole of what stands under its name', () => {
  for (const program of programs) {
    const text = read(new URL(program, root))
    const kept = items(text).flatMap(({ lines }) => lines)
    const wanted = text.split('\n').filter((line) => !line.startsWith('//!'))
    const left = wanted.filter((line) => !kept.includes(line) && !/^(use .*|\/\/ .*|    .*|[})\]]+;?|)$/.test(line))
    assert.deepEqual(left, [], program)
  }
})

test('items are found as their twin in Rust finds them', () => {
  const [text, ...expected] = read('items.sample.txt').split(/^=== .*\n/m).slice(1)
  const found = items(text).map(({ name, lines }) => `${name ?? ''}\n${lines.join('\n')}\n`)
  assert.deepEqual(found, expected.join('').split(/^--- /m).slice(1))
})
