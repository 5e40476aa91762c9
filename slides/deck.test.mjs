// The deck agrees with the programs: each listing is there and fits, each program is
// shown, the minutes add up. Needs nothing but Node. `make slides-check` also looks at the
// pages themselves (check.mjs).
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { Script } from 'node:vm'
import {
  LABEL, MINUTES, clock, code, examples, files, fitted, items, plan, played, ranges, read, root, schedule, shown,
  slides, transcripts,
} from './source.mjs'

// Two sessions of 90 minutes, or two hours in a row; a tenth of either is for questions.
const SESSION = 81
const SHORT_PATH = 108
// A slide takes a minute and a half: more of them are too many, whatever their notes say.
const CORE_SLIDES = 108

const all = slides()
const core = plan()
const extra = all.slice(core.length)
const programs = examples.flatMap((example) => files(`crates/${example}/src/bin/`))
const drafts = examples.flatMap((example) => files(`crates/${example}/examples/`)).filter((path) => path.endsWith('-draft.rs'))
const rust = (folder) => files(folder).filter((path) => path.endsWith('.rs'))
const textOf = (paths) => paths.map((path) => read(new URL(path, root))).join('\n')

test('every listing and scene names what is there, and fits', () => {
  const listings = all.flatMap((slide) => shown(slide).map((link) => ({ slide, ...link })))
  const wrong = listings
    .filter(({ path }) => !path.endsWith('.md'))
    .flatMap(({ slide, ...link }) => wrongIn(link).map((what) => `"${slide.title}": ${link.path}#${link.part} ${what}`))
  assert.deepEqual(wrong, [])
})

function wrongIn({ path, part, title }) {
  try {
    if (part === 'scene') return played(path, title) && []
    const text = code(path, part)
    const count = text.split('\n').length
    const numbers = ranges(title).flatMap(({ step }) => step.split(/[,-]/))
    return [
      ...(fitted(text).size ? [] : ['is too long or too wide']),
      ...numbers.filter((number) => !(number >= 1 && number <= count)).map((number) => `has no line ${number}`),
    ]
  } catch (error) {
    return [error.message]
  }
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

test('the minutes fit two sessions and the short path, and the schedule says so', () => {
  assert(core.length <= CORE_SLIDES, `${core.length} core slides`)
  for (const { title, notes, minutes } of core) {
    assert(MINUTES.test(notes.trim().split('\n')[0]) && minutes > 0, `"${title}": no minutes`)
  }
  const sum = (slides) => slides.reduce((all, { minutes }) => all + minutes, 0)
  assert.equal(core.at(-1).session, 2, 'two sessions')
  assert(sum(core.filter(({ isLong }) => !isLong)) <= SHORT_PATH, 'the short path')
  for (const session of [1, 2]) assert(sum(core.filter((slide) => slide.session === session)) <= SESSION, `session ${session}`)
  const rows = schedule().map(({ name, session, full, minutes, short, shortMinutes }) =>
    `${session} | ${clock(full)} | ${name} | ${minutes} | ${clock(short)} | ${shortMinutes}`)
  const [slide] = all.filter(({ text }) => text.includes('\n| from |'))
  let session = 0
  const shownRows = slide.text.split('\n').flatMap((line) => {
    if (line.startsWith('| from |')) session += 1
    const row = line.match(/^\| (\d:\d\d \| .* \| \d+ \| \d:\d\d \| \d+) \|$/)?.[1]
    return row ? [`${session} | ${row}`] : []
  })
  assert.deepEqual(shownRows, rows, 'the schedule, and what the notes say')
})

test('every slide has notes, and no extra one stands among the core', () => {
  for (const slide of all) assert(slide.notes.trim().length > 20, `"${slide.title}": no notes`)
  const titles = all.map((slide) => slide.title).sort()
  const twice = titles.filter((title, i) => title === titles[i + 1])
  assert.deepEqual(twice, [], 'two slides of one title')
  assert(extra.every((slide) => slide.is('extra')), 'an extra slide stands among the core')
})

test('a note is labelled lines, and each question has its answer', () => {
  for (const { title, notes } of core) {
    const [, ...lines] = notes.trim().split('\n')
    assert(lines.length === 0 || LABEL.test(lines[0]), `"${title}": the note begins with no label`)
    const labels = lines.map((line) => line.match(LABEL)?.[1]).filter(Boolean)
    labels.forEach((label, i) => {
      if (label === 'Ask') assert.equal(labels[i + 1], 'Answer', `"${title}": what follows Ask`)
      if (label === 'Answer') assert.equal(labels[i - 1], 'Ask', `"${title}": what comes before Answer`)
    })
    assert(!lines.some((line) => /\S.*\b(Ask|Answer|Show|Risk): /.test(line)), `"${title}": a label within a line`)
  }
})

test('a section opens with objectives and closes with a question', () => {
  const names = schedule().map(({ name }) => name).filter((name) => name !== 'Introduction')
  for (const name of names) {
    const section = core.filter((slide) => slide.section === name)
    const [first] = section
    assert(first.is('section'), `${name}: the first slide`)
    const objectives = first.text.split('You will be able to')[1]?.match(/^- /gm) ?? []
    assert(objectives.length >= 2 && objectives.length <= 4, `${name}: ${objectives.length} objectives`)
    const question = section.at(section.at(-1).is('exercise') ? -2 : -1)
    assert(question.is('question'), `${name}: "${question.title}" is no question`)
    assert(/\?\n/.test(question.text), `${name}: its question asks nothing`)
    assert.equal(question.text.match(/^\* /gm)?.length, 1, `${name}: one answer, which begins with *`)
  }
})

test('each draft is shown and run before its program', () => {
  const at = (path, part) => core.findIndex((slide) => shown(slide).some((link) => link.path === `../${path}` && (!part || link.part === part)))
  for (const draft of drafts) {
    const [, folder, name] = draft.match(/^(.*)\/examples\/(.*)-draft\.rs$/)
    const scene = at(`${folder}/demo-draft-${name}.toml`, 'scene')
    const hasScene = existsSync(new URL(`${folder}/demo-draft-${name}.toml`, root))
    const program = core.findLastIndex((slide) => shown(slide).some(({ path }) => path === `../${folder}/src/bin/${name}.rs`))
    assert(at(draft) >= 0, `no slide shows ${draft}`)
    assert(!hasScene || scene > at(draft), `no slide after the draft runs the scene of ${draft}`)
    assert(program > Math.max(scene, at(draft)), `no slide after the scene shows ${name}`)
  }
})

test('each section with an example ends with an exercise which a test judges', () => {
  const sections = []
  for (const slide of core) slide.is('section') || !sections.length ? sections.push([slide]) : sections.at(-1).push(slide)
  for (const section of sections) {
    const hasExample = section.some((slide) => shown(slide).length > 0)
    const last = section.at(-1)
    assert.equal(last.is('exercise'), hasExample, `"${last.title}"`)
  }
  for (const slide of core.filter((slide) => slide.is('exercise'))) {
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
      assert(link.includes(':') || link === 'repository' || existsSync(new URL(link, import.meta.url)), `${where} no ${link}`)
    }
    for (const [, word] of (slide.text + slide.notes).matchAll(/`([^`]*)`/g)) {
      const isTest = word.match(/_/g)?.length > 3 && !/[ :]/.test(word)
      assert(!isTest || tests.includes(`fn ${word}(`), `${where} no test ${word}`)
      const example = word.match(/^make demo-(.*)/)?.[1]
      assert(!example || existsSync(new URL(`crates/${example}/demo.toml`, root)) || existsSync(new URL(`crates/tools/${example}/demo.toml`, root)), `${where} ${word}`)
      const [, crate, scene] = word.match(/^cargo lab demo ([\w-]+)\/([\w-]+)-draft$/) ?? []
      assert(!crate || existsSync(new URL(`crates/${crate}/demo-draft-${scene}.toml`, root)), `${where} ${word}`)
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
