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

/**
 * The slides: title, class, text, and the notes that the lecturer reads. A heading begins
 * one (`headingDivider: 2`).
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
    else if (line.startsWith('<!-- ')) slide.class += line.match(/^<!-- _class: (.*) -->$/)?.[1] ?? ''
    else slide.text += `${line}\n`
  }
  if (isCode || isNote) throw new Error('a listing or a note has no end')
  return slides
}

/** The files that a slide shows: the path, what of it, and the title of the link. */
export const shown = (slide) =>
  [...slide.text.matchAll(/^\[.*\]\((\.\.\/[^# ]+)#(\S+?)(?: "(.*)")?\)$/gm)].map(([, path, part, title = '']) => ({
    path,
    part,
    title,
  }))
