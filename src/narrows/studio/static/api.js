/** Speaking with the server: the token, questions, changes, pictures and files. */

const KEPT = 'narrows-token';
const PICTURES = 80;

/** @type {Map<string, Promise<string>>} */
const pictures = new Map();

/** An answer that is an error; `status` is 0 when nobody answered. */
export class Failed extends Error {
  /** @param {number} status @param {string} text */
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/**
 * Take the token out of the address, where it arrives, and keep it for this window only.
 * @returns {boolean} whether it brought one
 */
export function takeToken() {
  const found = /^#token=([^&]*)/.exec(location.hash);
  if (found?.[1]) {
    sessionStorage.setItem(KEPT, found[1]);
    history.replaceState(null, '', location.pathname + '#/');
  }
  return Boolean(found);
}

/** @param {string|null} token */
export function setToken(token) {
  if (token === null) sessionStorage.removeItem(KEPT);
  else sessionStorage.setItem(KEPT, token);
}

/** @param {string} path @param {RequestInit} options @returns {Promise<Response>} */
async function ask(path, options) {
  const token = sessionStorage.getItem(KEPT);
  const headers = { ...(token ? { 'X-Narrows-Token': token } : {}), ...options.headers };
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: 'same-origin', redirect: 'error' });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Failed(0, 'The studio does not answer, or a login in front of it has ended: '
      + 'look at the terminal, then reload.');
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Failed(response.status, body.error ?? `The studio answered ${response.status}.`);
}

/** @param {string} run @param {string} [rest] */
export function path(run, rest = '') {
  return `/api/runs/${encodeURIComponent(run)}${rest}`;
}

/** @param {string} split @param {number} row */
export function casePath(split, row) {
  return `/cases/${encodeURIComponent(split)}/${row}`;
}

/**
 * @param {Record<string, string|number|null|undefined>} fields
 * @returns {string} a query, without what is empty
 */
export function query(fields) {
  const found = new URLSearchParams();
  for (const [key, value] of Object.entries(fields)) {
    if (value !== null && value !== undefined && value !== '') found.set(key, String(value));
  }
  const text = found.toString();
  return text && `?${text}`;
}

/**
 * @template T
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function get(path, signal) {
  const response = await ask(path, { signal: signal ?? null });
  return /** @type {T} */ (await response.json());
}

/**
 * @template T
 * @param {string} path
 * @param {object} body
 * @returns {Promise<T>}
 */
export async function post(path, body) {
  const headers = { 'Content-Type': 'application/json' };
  const response = await ask(path, { method: 'POST', headers, body: JSON.stringify(body) });
  return /** @type {T} */ (await response.json());
}

/**
 * The address of a picture within this page; the last ones asked for are kept.
 * @param {string} path below /api
 * @returns {Promise<string>}
 */
export function picture(path) {
  if (!path.startsWith('/api/')) return Promise.reject(new Failed(404, 'No picture.'));
  const known = pictures.get(path);
  if (known) return known;
  const found = ask(path, {}).then(async (r) => URL.createObjectURL(await r.blob()));
  pictures.set(path, found);
  found.catch(() => pictures.delete(path));
  for (const [old, address] of pictures) {
    if (pictures.size <= PICTURES) break;
    pictures.delete(old);
    address.then((url) => URL.revokeObjectURL(url)).catch(() => undefined);
  }
  return found;
}

/** Save an answer as a file. @param {string} path */
export async function download(path) {
  const response = await ask(path, {});
  const told = response.headers.get('content-disposition') ?? '';
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement('a');
  link.href = url;
  link.download = /filename="([^"]+)"/.exec(told)?.[1] ?? 'narrows';
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
