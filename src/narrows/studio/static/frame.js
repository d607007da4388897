/** What stands around every page: the head, messages, keys, and the way from address to page. */
import * as api from './api.js';
import { button, el, name, put } from './dom.js';
import { caseHash, casesPage, listOf } from './cases.js';
import { casePage } from './case.js';
import { comparePage } from './compare.js';
import { keysDialog, keysOn } from './keys.js';
import { logPage } from './log.js';
import { modelPage } from './model.js';
import { runsPage } from './runs.js';


const PAGES = [['cases', 'Cases'], ['model', 'Model'], ['compare', 'Compare'], ['log', 'Log']];
const THEMES = [['', 'Theme: as the system'], ['light', 'Theme: light'], ['dark', 'Theme: dark']];

/** @param {string} id */
function part(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

export class Frame {
  constructor() {
    /** @type {Narrows.RunLine[]} */
    this.runs = [];
    /** @type {Map<string, Narrows.About>} */
    this.abouts = new Map();
    /** @type {Narrows.Page|null} */
    this.page = null;
    this.turn = 0;
    this.main = part('main');
    this.leader = '';
  }

  async start() {
    await this.load();
    addEventListener('hashchange', () => void this.show());
    addEventListener('keydown', (event) => this.#key(event));
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.page?.refresh?.();
    });
    part('skip').addEventListener('click', (event) => {
      event.preventDefault();
      this.main.focus();
    });
    await this.show();
  }

  /** Ask which runs are open, and how right they are by now. */
  async load() {
    const { runs } = /** @type {{runs: Narrows.RunLine[]}} */ (await api.get('/api/runs'));
    const twice = (/** @type {string} */ title) => runs.filter((run) => run.title === title).length > 1;
    this.runs = runs.map((run) => (twice(run.title) ? { ...run, title: `${run.title}, ${run.id}` } : run));
  }

  /** @returns {Narrows.Place} */
  place() {
    const [path = '', query = ''] = location.hash.slice(1).split(/\?(.*)/s);
    const parts = path.split('/').filter(Boolean).map((text) => {
      try {
        return decodeURIComponent(text);
      } catch {
        return text;
      }
    });
    return { path: parts, query: new URLSearchParams(query) };
  }

  /** Show the page that the address names. */
  async show() {
    const turn = ++this.turn;
    const place = this.place();
    this.quiet();
    try {
      const page = await this.#page(place);
      if (turn !== this.turn) return;
      this.page?.leave?.();
      const inList = document.activeElement?.closest('.concepts') !== null;
      const bar = '#main .bar :is(button, select, input)';
      const held = [...document.querySelectorAll(bar)].indexOf(document.activeElement ?? document.body);
      this.page = page;
      this.#head(place);
      document.title = `${page.title} · Narrows studio`;
      document.body.classList.toggle('tall', page.tall ?? false);
      this.main.replaceChildren(page.node);
      if (!page.tall) scrollTo(0, 0);
      const start = (held >= 0 && document.querySelectorAll(bar)[held])
        || (inList && page.node.querySelector('.concepts [tabindex="0"]'))
        || page.node.querySelector('h1');
      if (start instanceof HTMLElement) start.focus({ preventScroll: true });
      page.shown?.();
    } catch (error) {
      if (turn !== this.turn) return;
      this.#head(place);
      this.failed(error, button('Try again', () => void this.show()));
    }
  }

  /** @param {Narrows.Place} place @returns {Promise<Narrows.Page>} */
  async #page({ path, query }) {
    const [run = '', kind = 'cases', split = '', row = ''] = path;
    if (!run && this.runs.length !== 1) return runsPage(this.runs);
    const about = await this.about(run || (this.runs[0]?.id ?? ''));
    const place = { path, query };
    if (kind === 'case') return casePage(this, about, split, Number(row), listOf(query, about.splits));
    if (kind === 'model') return modelPage(this, about);
    if (kind === 'compare') return comparePage(this, about, place);
    if (kind === 'log') return logPage(this, about);
    if (kind === 'cases') return casesPage(this, about, place);
    throw new api.Failed(404, `There is no page "${kind}".`);
  }

  /** @param {string} run @returns {Promise<Narrows.About>} */
  async about(run) {
    const known = this.abouts.get(run);
    if (known) return known;
    /** @type {Narrows.About} */
    const about = await api.get(api.path(run));
    this.abouts.set(run, about);
    return about;
  }

  /** @param {Narrows.Place} place */
  #head({ path }) {
    const single = this.runs.length === 1;
    const run = path[0] ?? (single ? this.runs[0]?.id : undefined);
    const kind = path[1] === 'case' ? 'cases' : path[1] ?? 'cases';
    const chosen = document.documentElement.dataset.theme ?? '';
    const theme = THEMES.find(([key]) => key === chosen)?.[1] ?? '';
    const nav = el('nav', { 'aria-label': 'Pages' });
    for (const [key, text] of run ? PAGES : []) {
      const href = `#/${encodeURIComponent(run ?? '')}/${key}`;
      nav.append(el('a', { href, 'aria-current': key === kind && 'page' }, text));
    }
    const shown = this.runs.find((line) => line.id === run);
    const picker = el('select', { 'aria-label': 'Run', class: 'run', change: () => {
      location.hash = `#/${encodeURIComponent(picker.value)}/${kind}`;
    } });
    for (const line of this.runs) {
      picker.append(el('option', { value: line.id, selected: line.id === run }, line.title));
    }
    part('head').replaceChildren();
    put(part('head'), [
      el('a', { class: 'brand', href: '#/' }, el('b', {}, 'Narrows'), ' studio'),
      shown && (single ? el('span', { class: 'run' }, name(shown.title)) : picker),
      nav,
      el('span', { class: 'tools' },
        button(theme, () => this.theme(), { class: 'plain' }, icon(chosen)),
        button('Keys and help', () => keysDialog(), { class: 'plain' }, '?')),
    ]);
  }

  /** On to the next theme: the system's, light, dark. */
  theme() {
    const root = document.documentElement;
    const now = THEMES.findIndex(([key]) => key === (root.dataset.theme ?? ''));
    const next = THEMES[(now + 1) % THEMES.length]?.[0] ?? '';
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    try {
      localStorage.setItem('narrows-theme', next);
    } catch {
      // kept for this page only
    }
    const back = document.activeElement?.closest('.tools') !== null;
    this.#head(this.place());
    const first = part('head').querySelector('.tools button');
    if (back && first instanceof HTMLElement) first.focus();
  }

  /** Say something to those who listen rather than look. @param {string} text */
  say(text) {
    part('spoken').textContent = text;
  }

  /** Show what went wrong. @param {unknown} error @param {HTMLElement|null} [way] out of it */
  failed(error, way = null) {
    if (error instanceof DOMException && error.name === 'AbortError') return;
    if (error instanceof api.Failed && error.status === 403) return this.askToken(error.message);
    const text = error instanceof Error ? error.message : String(error);
    part('told').replaceChildren(el('p', {}, name(text)), ...(way ? [way] : []),
      button('Close this message', () => this.quiet(), { class: 'plain' }, '×'));
    if (!(error instanceof api.Failed)) console.error(error);
  }

  quiet() {
    part('told').replaceChildren();
  }

  /** A form for the token, where the address did not bring it. @param {string} [why] */
  askToken(why) {
    const field = el('input', { type: 'password', id: 'token', autocomplete: 'off', required: true });
    const form = el('form', { class: 'page token', submit: (/** @type {Event} */ event) => {
      event.preventDefault();
      api.setToken(field.value.trim());
      location.reload();
    } },
    el('h1', {}, 'Narrows studio'),
    el('p', {}, 'Open the address that ', el('code', {}, 'narrows studio'),
      ' printed in the terminal, or give its token here.'),
    why && el('p', { class: 'quiet' }, name(why)),
    el('label', { for: 'token' }, 'Token'), field, el('button', { class: 'main' }, 'Open'));
    document.title = 'Narrows studio';
    document.body.classList.remove('tall');
    this.main.replaceChildren(form);
    field.focus();
  }

  /** Take the run's last act back, or do it again. @param {'undo'|'redo'} what */
  async move(what) {
    const run = this.place().path[0] ?? this.runs[0]?.id ?? '';
    try {
      /** @type {Narrows.Moved} */
      const moved = await api.post(api.path(run, `/${what}`), {});
      const { split, row, kind } = moved;
      const where = row === null ? '' : `, ${split} row ${row}`;
      const text = `${what === 'undo' ? 'Undone' : 'Done again'}: ${kind}${where}`;
      this.quiet();
      this.say(text);
      this.page?.moved?.(moved);
      const [, page, ...at] = this.place().path;
      if (row !== null && page === 'case' && at.join() !== `${split},${row}`) {
        part('told').replaceChildren(el('p', {}, el('a', { href: caseHash(run, split ?? '', row) }, text)));
      }
    } catch (error) {
      this.failed(error);
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const target = event.target instanceof HTMLElement ? event.target : document.body;
    const writing = target.matches('input:not([type=radio], [type=checkbox]), textarea, select');
    if (event.defaultPrevented || writing || target.closest('dialog')) {
      if (event.key === 'Escape' && writing) target.blur();
      return;
    }
    const key = event.key;
    if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === 'z') {
      event.preventDefault();
      void this.move(event.shiftKey ? 'redo' : 'undo');
    } else if (!event.ctrlKey && !event.metaKey && !event.altKey && keysOn()) {
      if (this.#single(key, event)) event.preventDefault();
    }
  }

  /** @param {string} key @param {KeyboardEvent} event */
  #single(key, event) {
    const led = this.leader;
    this.leader = '';
    const run = this.place().path[0] ?? this.runs[0]?.id;
    /** @type {Record<string, string>} */
    const goals = led && run ? { c: 'cases', m: 'model', v: 'compare', l: 'log' } : {};
    /** @type {Record<string, () => void>} */
    const acts = { g: () => { this.leader = 'g'; }, '?': keysDialog, t: () => this.theme(),
      u: () => void this.move('undo'), U: () => void this.move('redo') };
    const goal = goals[key];
    if (goal) location.hash = `#/${encodeURIComponent(run ?? '')}/${goal}`;
    else if (acts[key]) acts[key]();
    else return this.page?.key?.(key, event) ?? false;
    return true;
  }
}

/** @param {string} theme */
function icon(theme) {
  return { '': '◐', light: '○', dark: '●' }[theme] ?? '◐';
}
