// How Marp makes the deck: the theme with its fonts; code, transcripts and diagrams taken
// from their sources. Nothing in the result asks the network for anything.
import { readFileSync } from 'node:fs'
import { code, read, transcripts } from './source.mjs'

const escape = (text) =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c])

function font(family, file, weight) {
  const path = `node_modules/@fontsource/${file}-latin-${weight}-normal.woff2`
  const data = readFileSync(new URL(path, import.meta.url), 'base64')
  return `@font-face { font-family: '${family}'; font-weight: ${weight};
    src: url('data:font/woff2;base64,${data}') format('woff2'); }`
}

const theme = () =>
  read('theme.css') +
  [400, 600, 700].map((w) => font('Source Sans 3', 'source-sans-3/files/source-sans-3', w)).join('') +
  [400, 600].map((w) => font('JetBrains Mono', 'jetbrains-mono/files/jetbrains-mono', w)).join('')

/** Cuts highlighted HTML into lines: a span that goes on is closed and opened again. */
function htmlLines(html) {
  let open = []
  return html.split('\n').map((line) => {
    const start = open.join('')
    for (const tag of line.match(/<[^>]+>/g) ?? []) tag === '</span>' ? open.pop() : open.push(tag)
    return start + line + '</span>'.repeat(open.length)
  })
}

/** `1-3|5` is two steps; tells for each line which steps it is in. */
function steps(ranges) {
  const list = (ranges || '').split('|').filter(Boolean)
  const isIn = (range, n) =>
    range.split(',').some((part) => {
      const [from, to = from] = part.split('-').map(Number)
      return from <= n && n <= to
    })
  return { count: list.length, of: (n) => list.map((r, i) => (isIn(r, n) ? ` in${i + 1}` : '')).join('') }
}

function codeFigure(marp, path, names, ranges) {
  const text = code(path, names)
  const language = path.endsWith('.rs') ? 'rust' : 'javascript'
  const { count, of } = steps(ranges)
  const lines = htmlLines(marp.highlighter(text, language)).map(
    (line, i) => `<span class="line${of(i + 1)}">${line}</span>`,
  )
  const size = lines.length > 22 ? ' longest' : lines.length > 20 ? ' long' : ''
  const marks = Array.from({ length: count }, (_, i) => i + 1).map(
    (n) => `<i class="step step${n}" data-marpit-fragment="${n}"></i>`,
  )
  return `${marks.join('')}<figure class="code${size}"><pre><code>${lines.join('\n')}</code></pre>
    <figcaption>${escape(path.replace('../', ''))}</figcaption></figure>`
}

/** The transcripts of a README; the title of the link chooses some of them. */
function terminalFigure(path, chosen) {
  const all = transcripts(path)
  const blocks = chosen ? chosen.split(',').map((n) => all[n - 1]) : all
  const html = blocks.map((block) => {
    const [command, ...output] = block.split('\n')
    return `<pre><b>${escape(command)}</b>\n${escape(output.join('\n'))}</pre>`
  })
  const size = blocks.join('\n').split('\n').length > 10 ? '' : ' brief'
  return `<figure class="terminal${size}">${html.join('')}</figure>`
}

const isPdf = process.argv.includes('--pdf')

function plugin(md) {
  const { marpit: marp } = md
  md.core.ruler.after('inline', 'sources', (state) => {
    state.tokens.forEach((token, i) => {
      // The presenter view keeps the lines of a note: only sentences should end one.
      if (token.type === 'marpit_comment') token.content = token.content.replace(/([^.?!:)])\n/g, '$1 ')
      const [first, second, last] = token.children ?? []
      const link = token.children?.length === 3 && first.type === 'link_open' && last.type === 'link_close'
      const [, path, names] = (link && first.attrGet('href').match(/^(\.\.\/.+)#(.+)$/)) || []
      const alone = state.tokens[i - 1]?.type === 'paragraph_open'
      const image = token.children?.length === 1 && first.type === 'image' && first
      let html
      if (path && alone) {
        const title = first.attrGet('title')
        const run = path.endsWith('.md') && names === 'run'
        html = run ? terminalFigure(path, title) : codeFigure(marp, path, names, title)
      } else if (image && image.attrGet('src').endsWith('.svg')) {
        // Not as an image, which could not use the deck's fonts.
        const svg = read(image.attrGet('src'))
        html = `<div class="diagram" role="img" aria-label="${escape(image.content)}">${svg}</div>`
      } else {
        token.children?.forEach((child) => isLocal(child) && moveLink(child))
        return
      }
      state.tokens[i - 1].hidden = state.tokens[i + 1].hidden = true
      Object.assign(token, { type: 'source', content: html, children: null })
    })
  })
  md.renderer.rules.source = (tokens, i) => tokens[i].content
}

const isLocal = (token) => token.type === 'link_open' && !/^(\w+:|#)/.test(token.attrGet('href'))

/** The result lies a folder deeper; what is printed cannot link into the repository. */
function moveLink(token) {
  if (isPdf) token.attrs = token.attrs.filter(([name]) => name !== 'href')
  else token.attrSet('href', `../${token.attrGet('href')}`)
}

export default {
  engine: ({ marp }) => {
    marp.themeSet.default = marp.themeSet.add(theme())
    return marp.use(plugin)
  },
  options: {
    math: false,
    script: 'inline',
    emoji: { shortcode: false, unicode: false },
    markdown: { breaks: false },
  },
  html: false,
}
