// Chromium without a window, spoken to through a pipe in its DevTools protocol: JSON messages that end
// with a zero byte. No package from npm is needed.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { accessSync, constants } from 'node:fs';

const kNames = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

export function find_browser() {
  for (const name of kNames)
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch { /* not this one */ }
    }
  return null;
}

export class Browser {
  constructor(path) {
    this.folder = mkdtempSync(join(tmpdir(), 'moesim-browser-'));
    // No sandbox: containers of tests run as root, and the pages are our own.
    this.process = spawn(path, [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
      '--hide-scrollbars', '--disable-background-networking', '--remote-debugging-pipe',
      `--user-data-dir=${this.folder}`, 'about:blank',
    ], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    this.process.stdio[3].on('error', () => {});
    this.next_id = 1;
    this.waiting = new Map();
    this.listeners = [];
    let rest = Buffer.alloc(0);
    this.process.stdio[4].on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
        this.receive(JSON.parse(rest.subarray(0, end).toString()));
        rest = rest.subarray(end + 1);
      }
    });
    this.ended = new Promise((done) => this.process.on('exit', done));
    this.ended.then((code) => {
      for (const { fail } of this.waiting.values()) fail(new Error(`the browser ended (${code})`));
    });
  }

  receive(message) {
    if (message.id === undefined) {
      for (const listener of this.listeners) listener(message);
      return;
    }
    const { done, fail } = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.error) fail(new Error(JSON.stringify(message.error)));
    else done(message.result);
  }

  send(method, params = {}, sessionId = this.session) {
    const id = this.next_id++;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((done, fail) => this.waiting.set(id, { done, fail }));
  }

  // A new tab; what it complains about is collected in `this.complaints`.
  async open_tab() {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' }, undefined);
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true }, undefined);
    this.session = sessionId;
    this.complaints = [];
    this.listeners = [(message) => {
      if (message.method === 'Log.entryAdded' && ['error', 'warning'].includes(message.params.entry.level))
        this.complaints.push(message.params.entry.text);
      if (message.method === 'Runtime.exceptionThrown')
        this.complaints.push(message.params.exceptionDetails.exception?.description ?? 'an exception');
      if (message.method === 'Runtime.consoleAPICalled' && ['error', 'warning'].includes(message.params.type))
        this.complaints.push(message.params.args.map((arg) => arg.value ?? arg.description).join(' '));
      if (message.method === 'Network.requestWillBeSent' && !message.params.request.url.startsWith('file:'))
        this.complaints.push(`asks for ${message.params.request.url}`);
    }];
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await this.send(`${domain}.enable`);
  }

  async load(url) {
    const loaded = new Promise((done) => this.listeners.push((message) => {
      if (message.method === 'Page.loadEventFired') done();
    }));
    await this.send('Page.navigate', { url });
    await loaded;
  }

  async value(expression) {
    const { result, exceptionDetails } =
      await this.send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async until(expression, limit_ms = 30000) {
    for (const start = Date.now(); Date.now() - start < limit_ms;) {
      if (await this.value(expression)) return true;
      await new Promise((done) => setTimeout(done, 20));
    }
    return false;
  }

  window(width, height) {
    return this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
  }

  media(features) {
    return this.send('Emulation.setEmulatedMedia', {
      features: Object.entries(features).map(([name, value]) => ({ name, value })),
    });
  }

  // The window as it is, or the whole page in pieces that eyes can take in.
  async screenshot() {
    const { data } = await this.send('Page.captureScreenshot');
    return Buffer.from(data, 'base64');
  }

  async pictures(piece = 1400) {
    const { cssContentSize: { width, height } } = await this.send('Page.getLayoutMetrics');
    const pieces = [];
    for (let y = 0; y < height; y += piece) {
      const clip = { x: 0, y, width, height: Math.min(piece, height - y), scale: 1 };
      const { data } = await this.send('Page.captureScreenshot', { captureBeyondViewport: true, clip });
      pieces.push(Buffer.from(data, 'base64'));
    }
    return pieces;
  }

  async pdf() {
    const { data } = await this.send('Page.printToPDF', { printBackground: false, preferCSSPageSize: true });
    return Buffer.from(data, 'base64');
  }

  async close() {
    await this.send('Browser.close', {}, undefined).catch(() => {});
    await this.ended;
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
