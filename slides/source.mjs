// What the deck is made of: its slides, and the programs and READMEs that it shows. Needs
// nothing but Node.
import { readFileSync, readdirSync } from 'node:fs'

export const root = new URL('../', import.meta.url)

/** A text file, by its path from here or by its URL; Git on Windows may end lines by CRLF. */
export const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8').replaceAll('\r\n', '\n')

/** All files below a folder, which may be missing. */
export function files(folder) {
  const url = new URL(folder, root)
  let names = []
  try {
    names = readdirSync(url, { withFileTypes: true })
  } catch {}
  return names.flatMap((entry) => (entry.isDirectory() ? files(`${folder}${entry.name}/`) : [folder + entry.name]))
}

/** The folders of the examples: the members of the workspace that bring a test helper. */
export const examples = [...read('../Cargo.toml').matchAll(/"crates\/([\w-]+)"/g)]
  .map((match) => match[1])
  .filter((name, i, all) => all.indexOf(name) === i && files(`crates/${name}/tests/program/`).length)

/**
 * The items of a file laid out by rustfmt, or of the script of a page, with their names:
 * each ends with the first line of closing brackets alone in column 0, unless it is whole
 * before. `items` in crates/tools/claims/tests/source/mod.rs is its twin, for the rules
 * of the examples; items.sample.txt holds both to the same result.
 */
export function items(text) {
  const script = text.match(/^ *<script>\n(.*?)^ *<\/script>/ms)
  if (script) text = script[1].replace(/^ {4}/gm, '')
  const found = []
  let lines = []
  let declaration
  for (const line of text.split('\n')) {
    if (line.startsWith('//!') || (!lines.length && line.startsWith('use '))) continue
    if (!declaration && line === '') {
      // A comment that stands alone belongs to no item.
      lines = []
      continue
    }
    lines.push(line)
    if (!declaration && !/^(\/\/|#\[|[\s)])/.test(line)) declaration = line
    const ends =
      /^[})\]]+;?$/.test(line) || (/[;}]( \/\/.*)?$/.test(line) && (line === declaration || /=$/.test(declaration)))
    if (declaration && ends) {
      const name = declaration.match(/\b(?:fn|struct|enum|const|static|type|function) (\w+)/)?.[1]
      found.push({ name, lines })
      lines = []
      declaration = undefined
    }
  }
  return found
}

/** The lines of the items that a link names: `file.rs#main` or `file.rs#LIMIT,serve`. */
export function code(path, names) {
  const all = items(read(path))
  const lines = names.split(',').map((name) => {
    const found = all.filter((item) => item.name === name)
    if (found.length !== 1) throw new Error(`${path} has ${found.length} items named ${name}`)
    return found[0].lines.join('\n')
  })
  return lines.join('\n\n')
}

/** What a README shows under "Run": each command with its output. */
export function transcripts(path) {
  const section = read(path).split('\n## ').find((part) => part.startsWith('Run\n')) ?? ''
  return [...section.matchAll(/```text\n(\$.*?)\n```/gs)].map((match) => match[1])
}

/** A transcript with numbers in the places where a README says that any will do. */
export function real(text) {
  const readings = ['22.41', '20.97', '21.35', '23.08']
  let [reading, number] = [0, 2]
  return text
    .replaceAll('<port>', '50112')
    .replaceAll('<n> s', '0.2 s')
    .replaceAll('echo: <n>', 'echo: 000000000000 ...')
    .replaceAll('<n>-', '7-')
    .replace(/\| <n> \|/g, () => `| ${++number} |`)
    .replaceAll('<n>', () => readings[reading++ % readings.length])
}

/**
 * The steps of a scene, crates/.../demo*.toml, each an object of its keys. Only the little
 * of TOML that scenes are written in: strings, lists of strings, numbers, true.
 */
export function scene(path) {
  const steps = read(path).split(/^\[\[step\]\]\n/m)
  const value = (text) => {
    const strings = [...text.matchAll(/"(?:[^"\\]|\\.)*"|'([^']*)'/g)]
    const all = strings.map(([whole, literal]) => literal ?? JSON.parse(whole))
    return text.startsWith('[') ? all : strings.length ? all[0] : JSON.parse(text)
  }
  return steps.map((step) =>
    Object.fromEntries([...step.matchAll(/^(\w+) = (\[.*?\]$|[^\n]*)/gms)].map(([, key, text]) => [key, value(text)])),
  )
}

/**
 * What a slide shows of a scene: the chosen steps (`1,3-5`, counted from 1) to the first
 * question as commands and their output, then the question; then the outcome and the answer.
 */
export function played(path, chosen) {
  const steps = scene(path).filter((_, i) => i > 0 && isIn(chosen, i))
  const asking = steps.findIndex(({ question }) => question)
  const answer = steps.find(({ answer }) => answer)?.answer
  if (asking < 0 || !answer) throw new Error(`${path}: steps ${chosen} have no question or no answer`)
  const names = Object.fromEntries(
    scene(path).flatMap(({ expect = [] }) => expect).flatMap((line) => [...line.matchAll(/ on (?:\w+:\/\/)?\{(\w+)\}/g)])
      .map(([, name], i) => [name, `127.0.0.1:${65432 + i}`]),
  )
  // A broker is where the programs expect it.
  names.broker_address = '127.0.0.1:1883'
  // A long run of one character is told by its beginning.
  const fill = (text) =>
    real(text).replace(/(.)\1{20,}/gu, '$1$1$1…').replace(/ (--broker )?\{broker\}/, '').replace(/ --$/, '').replace(/\{(\w+)\}/g, (whole, name) => names[name] ?? whole)
  const block = ({ run, expect = [] }) => {
    const own = expect.join().match(/ on (?:\w+:\/\/)?\{(\w+)\}/)?.[1]
    const command = run && `$ ${run.replace(' -q ', ' ').replace('127.0.0.1:0', names[own] ?? '127.0.0.1:0')}`
    // That the wiretap listens, its command says already.
    const output = expect.filter((line) => !line.startsWith('Wiretap '))
    return { command: command ? [fill(command)] : [], output: output.map(fill) }
  }
  const whole = (step) => [...block(step).command, ...block(step).output]
  const asked = block(steps[asking])
  const some = (blocks) => blocks.filter((lines) => lines.length)
  return {
    before: some([...steps.slice(0, asking).map(whole), asked.command]),
    question: `${steps[asking].say ?? ''} ${steps[asking].question}`.trim(),
    outcome: some([asked.output, ...steps.slice(asking + 1).map(whole)]),
    answer,
  }
}

/** The classes that tell what a slide is for, or how it is laid out. */
const CLASS = /^<!-- _class: (.*) -->$/

/**
 * The slides: title, class, text, the notes that the lecturer reads, and of the core ones
 * the minutes and whether the short path leaves it out. A heading begins one
 * (`headingDivider: 2`).
 */
export function slides() {
  const deck = read('deck.md').match(/^---\n.*?\n---\n(.*)$/s)[1]
  const slides = []
  let isCode = false
  let isNote = false
  for (const line of deck.split('\n')) {
    if (line.startsWith('```')) isCode = !isCode
    const title = !isCode && !isNote && line.match(/^##? (.*)$/)
    const slide = slides.at(-1)
    if (title) slides.push({ title: title[1], class: '', text: '', notes: '' })
    else if (!slide) continue
    else if (line === '<!--') isNote = true
    else if (line === '-->') isNote = false
    else if (isNote) slide.notes += `${line}\n`
    else if (line.startsWith('<!-- ')) slide.class += line.match(CLASS)?.[1] ?? ''
    else slide.text += `${line}\n`
  }
  if (isCode || isNote) throw new Error('a listing or a note has no end')
  for (const slide of slides) {
    slide.is = (name) => slide.class.split(' ').includes(name)
    const [, minutes, long] = slide.notes.match(MINUTES) ?? []
    Object.assign(slide, { minutes: Number(minutes), isLong: long !== undefined })
  }
  return slides
}

/** The first line of a core slide's note; the short path leaves out what is long. */
export const MINUTES = /^(\d+) min(, long)?\.$/m

/** What begins a line of a note. */
export const LABEL = /^(Ask|Answer|Show|Say|Risk): /

/** Hours and minutes. */
export const clock = (minutes) => `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}`

/**
 * The core slides, each with its section, its session (from a slide of the class `session`
 * on comes the second one), and the minute at which it begins: in its session, and on the
 * short path, which has no sessions and leaves out the slides marked long.
 */
export function plan() {
  const core = slides().filter((slide) => !slide.is('extra'))
  let [section, session, full, short] = ['Introduction', 1, 0, 0]
  return core.map((slide) => {
    if (slide.is('section')) section = slide.title
    if (slide.is('session')) [session, full] = [session + 1, 0]
    const planned = { ...slide, section, session, full, short }
    full += slide.minutes
    if (!slide.isLong) short += slide.minutes
    return planned
  })
}

/** The rows of the schedule: from, section, minutes; from and minutes of the short path. */
export function schedule() {
  const slides = plan()
  const names = slides.map(({ section }) => section).filter((name, i, all) => all.indexOf(name) === i)
  return names.map((name) => {
    const own = slides.filter(({ section }) => section === name)
    const sum = (some) => some.reduce((all, { minutes }) => all + minutes, 0)
    const { session, full, short } = own[0]
    return { name, session, full, short, minutes: sum(own), shortMinutes: sum(own.filter(({ isLong }) => !isLong)) }
  })
}

/** The files that a slide shows: the path, what of it, and the title of the link. */
export const shown = (slide) =>
  [...slide.text.matchAll(/^\[.*\]\((\.\.\/[^# ]+)#(\S+?)(?: "(.*)")?\)$/gm)].map(([, path, part, title = '']) => ({
    path,
    part,
    title,
  }))

/** The lines of a listing's title: `+3-5,9|3|5`, where a step with + is marked for good. */
export const ranges = (title) =>
  title.split('|').filter(Boolean).map((step) => ({ isMark: step.startsWith('+'), step: step.replace('+', '') }))

/** Is the number in `1,3-5`? */
export const isIn = (list, number) =>
  list.split(',').some((part) => {
    const [from, to = from] = part.split('-').map(Number)
    return from <= number && number <= to
  })

/** The size in which code fits a slide: 30 px up to 10 lines, 26 px up to 14, 22 px up to 20. */
export function codeSize(lines) {
  const [size] = [[30, 10], [26, 14], [22, 20]].find(([, most]) => lines.length <= most) ?? []
  const columns = Math.max(...lines.map((line) => [...line].length))
  const widest = Math.floor(columnsWidth / columns)
  return size && widest >= 22 ? Math.min(size, widest) : undefined
}

/** What a slide is wide, in the widths that a letter of a size of 1 px has. */
const columnsWidth = 1150 / 0.6

/**
 * Terminals in the size in which they fit a part of a slide, and their lines broken at
 * spaces where they are too long: commands only if no size from 26 px on spares them that.
 */
export function terminals(blocks, height) {
  const sizes = [30, 28, 26, 24, 22].map((size) => {
    const columns = Math.floor(columnsWidth / size)
    const broken = blocks.map((lines) => lines.flatMap((line) => breakLine(line, columns)))
    const isWhole = blocks.flat().every((line) => !line.startsWith('$') || line.length <= columns)
    const fits = broken.flat().length * size * 1.25 + blocks.length * 33 <= height
    return { size, blocks: broken, fits, isWhole }
  })
  const fitting = sizes.filter(({ fits }) => fits)
  return fitting.find(({ size, isWhole }) => isWhole && size >= 26) ?? fitting[0] ?? sizes.at(-1)
}

/** An option and its value stay together. */
function breakLine(line, columns) {
  const lines = ['']
  for (const word of line.match(/^ +|(--\S* )?\S+ */g) ?? []) {
    if (lines.at(-1) && (lines.at(-1) + word).trimEnd().length > columns - 2) lines.push('    ')
    lines[lines.length - 1] += word
  }
  const end = line.startsWith('$') ? ' \\' : ''
  return [...lines].length > 1 && [...line].length > columns
    ? lines.map((part, i) => part.trimEnd() + (i < lines.length - 1 ? end : ''))
    : [line]
}

/**
 * The lines of a listing as a slide shows them, each with the number of the line it is from:
 * comments are wrapped at 72 columns, unless that makes the code smaller.
 */
export function fitted(text) {
  const plain = text.split('\n').map((line, i) => ({ line, from: i + 1 }))
  const size = (some) => codeSize(some.map(({ line }) => line)) ?? 0
  const wrapped = wrap(plain)
  const best = size(wrapped) >= size(plain) ? wrapped : plain
  return { lines: best, size: size(best) }
}

function wrap(lines) {
  const result = []
  lines.forEach(({ line, from }, i) => {
    const [, indent, mark, words] = line.match(/^(\s*)(\/\/\/?) (.*)$/) ?? []
    const [, code, comment] = line.match(/^(.*\S) \/\/ (.*)$/) ?? []
    const before = result.at(-1)
    if (words === undefined && comment && line.length > 72) {
      result.push(...fill(line.match(/^\s*/)[0] + '//', comment, from), { line: code, from })
    } else if (words === undefined) {
      result.push({ line, from })
    } else if (i > 0 && before.open === indent + mark) {
      // The sentence goes on from the line before.
      result.pop()
      result.push(...fill(indent + mark, `${before.line.trim().replace(/^\/\/\/? /, '')} ${words}`, before.from))
    } else {
      result.push(...fill(indent + mark, words, from))
    }
  })
  return result
}

/** As few lines of at most 72 columns as will do, and about equally long. */
function fill(mark, words, from) {
  const broken = (width) => {
    const lines = [mark]
    for (const word of words.split(' ')) {
      if (lines.at(-1).length + 1 + word.length > width && lines.at(-1) !== mark) lines.push(mark)
      lines[lines.length - 1] += ` ${word}`
    }
    return lines
  }
  let width = 72
  while (width > 40 && broken(width - 1).length === broken(72).length) width -= 1
  return broken(width).map((line) => ({ line, from, open: mark }))
}
