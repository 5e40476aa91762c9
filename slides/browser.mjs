// Finds and starts the browser that this machine has.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import puppeteer from 'puppeteer-core'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const apps = ['/Applications/Chromium.app/Contents/MacOS/Chromium', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome']
const paths = process.env.PATH.split(':').flatMap((folder) => names.map((name) => join(folder, name)))

const executablePath = [process.env.CHROME_PATH, ...paths, ...apps].find((path) => path && existsSync(path))
if (!executablePath) throw new Error('no Chromium is here: install it, or set CHROME_PATH to a browser')

// Chromium has no sandbox for root.
const args = process.getuid() === 0 ? ['--no-sandbox'] : []

export const launch = () => puppeteer.launch({ executablePath, args })
