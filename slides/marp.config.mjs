// How Marp makes the deck: the theme with its fonts; code, transcripts and diagrams taken
// from their sources. Nothing in the result asks the network for anything.
import { readFileSync } from 'node:fs'
import qrcode from 'qrcode-generator'
import {
  LABEL, MINUTES, clock, code, fitted, isIn, plan, played, ranges, read, real, slides, terminals,
  transcripts,
} from './source.mjs'

/** The address of the repository, or nothing: then links lead to files beside the deck. */
const repository = process.env.REPOSITORY ?? JSON.parse(read('package.json')).repository

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

function codeFigure(marp, path, names, title) {
  const { lines, size } = fitted(code(path, names))
  if (!size) throw new Error(`${path}#${names} is too long or too wide for a slide`)
  const language = path.endsWith('.rs') ? 'rust' : 'javascript'
  const all = ranges(title ?? '')
  const steps = all.filter(({ isMark }) => !isMark)
  const marks = all.filter(({ isMark }) => isMark)
  const html = htmlLines(marp.highlighter(lines.map(({ line }) => line).join('\n'), language)).map((line, i) => {
    const { from } = lines[i]
    const own = steps.map(({ step }, n) => (isIn(step, from) ? ` in${n + 1}` : '')).join('')
    const mark = marks.some(({ step }) => isIn(step, from)) ? ' mark' : ''
    return `<span class="line${own}${mark}">${line}</span>`
  })
  const hidden = steps.map((_, n) => `<i class="step step${n + 1}" data-marpit-fragment="${n + 1}"></i>`)
  const isDraft = path.includes('/examples/')
  const caption = isDraft ? ' (a draft)' : marks.length ? ' <b>marked: what a real network adds</b>' : ''
  return `${hidden.join('')}<figure class="code${isDraft ? ' draft' : ''}" style="--size: ${size}px"><pre><code>${html.join('')}</code></pre>
    <figcaption>${escape(path.replace('../', ''))}${caption}</figcaption></figure>`
}

/** Each block is lines, of which commands begin with `$`, and go on after `\`. */
const terminal = (blocks, size) => {
  const html = blocks.map((lines) =>
    lines.map((line, i) => (line.startsWith('$') || lines[i - 1]?.endsWith(' \\') ? `<b>${escape(line)}</b>` : escape(line))),
  )
  return `<figure class="terminal" style="--size: ${size}px">${html.map((lines) => `<pre>${lines.join('\n')}</pre>`).join('')}</figure>`
}

/** The transcripts of a README; the title of the link chooses some of them. */
function terminalFigure(path, chosen) {
  const all = transcripts(path)
  const chosenOnes = chosen ? chosen.split(',').map((n) => all[n - 1]) : all
  const { blocks, size } = terminals(chosenOnes.map((block) => real(block).split('\n')), 430)
  return terminal(blocks, size)
}

/** A scene to its question; the outcome and the answer come with the next step. */
function sceneFigure(path, chosen) {
  const { before, question, outcome, answer } = played(path, chosen)
  const { blocks, size } = terminals([...before, ...outcome], 400)
  return `${terminal(blocks.slice(0, before.length), size)}
    <p class="ask">${escape(question)}</p>
    <div class="answer" data-marpit-fragment="1">${terminal(blocks.slice(before.length), size)}
    <p>${escape(answer)}</p></div>`
}

const isPdf = process.argv.includes('--pdf')

function plugin(md) {
  const { marpit: marp } = md
  // `<!-- _exempt: "empty: Why this slide may be so." -->`: check.mjs reads it from the page.
  marp.customDirectives.local.exempt = (exempt) => ({ exempt })
  md.core.ruler.push('exempt', ({ tokens }) => {
    for (const token of tokens) {
      const exempt = token.meta?.marpitDirectives?.exempt
      if (token.type === 'marpit_slide_open' && exempt) token.attrSet('data-exempt', exempt)
    }
  })
  const planned = plan()
  md.core.ruler.after('inline', 'sources', (state) => {
    if (state.inlineMode) return // A footer.
    let core = 0
    state.tokens.forEach((token, i) => {
      if (token.type === 'marpit_comment' && MINUTES.test(token.content.trim())) {
        token.content = note(token.content.trim(), planned[core++])
      } else if (token.type === 'marpit_comment') {
        token.content = joined(token.content)
      }
      const [first, second, last] = token.children ?? []
      const link = token.children?.length === 3 && first.type === 'link_open' && last.type === 'link_close'
      const [, path, part] = (link && first.attrGet('href').match(/^(\.\.\/.+)#(.+)$/)) || []
      const alone = state.tokens[i - 1]?.type === 'paragraph_open'
      const image = token.children?.length === 1 && first.type === 'image' && first
      let html
      if (path && alone) {
        const title = first.attrGet('title')
        if (path.endsWith('.md') && part === 'run') html = terminalFigure(path, title)
        else if (path.endsWith('.toml') && part === 'scene') html = sceneFigure(path, title)
        else html = codeFigure(marp, path, part, title)
      } else if (image && image.attrGet('src') === 'repository') {
        html = repository ? address(image.content) : ''
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
    if (core !== planned.length) throw new Error(`${planned.length} core slides, but ${core} notes with minutes`)
  })
  md.renderer.rules.source = (tokens, i) => tokens[i].content
}

/** A note with the clock: when this slide begins, if both plans are kept. */
function note(text, { session, full, short, isLong }) {
  const [minutes, ...lines] = text.split('\n')
  const path = isLong ? 'left out on the short path' : `${clock(short)} on the short path`
  return joined([`${minutes} By now ${clock(full)} of session ${session}; ${path}.`, ...lines].join('\n'))
}

/** The presenter view keeps the lines of a note: only a label, or a space, begins one. */
const joined = (text) => {
  const [first, ...lines] = text.trim().split('\n')
  return lines.reduce((all, line) => all + (LABEL.test(line) || !line || all.endsWith('.') && !all.includes('\n') ? '\n' : ' ') + line, first)
}

/** The address to type, and to scan. */
function address(alt) {
  const code = qrcode(0, 'M')
  code.addData(repository)
  code.make()
  const svg = code.createSvgTag({ cellSize: 4, margin: 16, scalable: true })
  return `<figure class="address" role="img" aria-label="${escape(`${alt}: ${repository}`)}">${svg}
    <figcaption>${escape(repository)}</figcaption></figure>`
}

const isLocal = (token) => token.type === 'link_open' && !/^(\w+:|#)/.test(token.attrGet('href'))

/**
 * Where the deck is handed out alone, only the repository's address leads anywhere. Without
 * one the result lies a folder deeper, and what is printed cannot link.
 */
function moveLink(token) {
  const href = token.attrGet('href')
  if (repository) token.attrSet('href', href.replace(/^\.\.\//, `${repository}/blob/main/`))
  else if (isPdf) token.attrs = token.attrs.filter(([name]) => name !== 'href')
  else token.attrSet('href', `../${href}`)
}

/** Marp counts all slides; a lecturer wants to know how many of the lecture are left. */
const counter = () => {
  const all = slides()
  const core = all.filter((slide) => !slide.is('extra')).length
  return `<script>
    new MutationObserver(() => {
      for (const element of document.querySelectorAll('.bespoke-marp-presenter-info-page, [data-bespoke-marp-osc="page"]')) {
        const [, before, page, of] = element.textContent.match(/^(\\D*)(\\d+)( of | \\/ )${all.length}$/) || []
        if (page) element.textContent = before + page + (page > ${core} ? ' (extra)' : of + ${core})
      }
    }).observe(document, { childList: true, subtree: true })
  </script>`
}

export default {
  engine: ({ marp }) => {
    marp.themeSet.default = marp.themeSet.add(theme())
    const render = marp.render.bind(marp)
    marp.render = (...args) => {
      const result = render(...args)
      const html = Array.isArray(result.html) ? result.html : result.html.replace('</section>', `${counter()}</section>`)
      return { ...result, html }
    }
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
