/** The dialog that says what keys there are, and the switch for the single ones. */
import { button, el } from './dom.js';

const KEPT = 'narrows-keys';
/** @type {[string, [string, string][]][]} */
const KEYS = [
  ['Everywhere', [['?', 'this help'], ['g c', 'go to the cases'], ['g m', 'go to the model'],
    ['g v', 'go to the comparison'], ['g l', 'go to the log'], ['u', 'undo the last act (or Ctrl Z)'],
    ['Shift u', 'redo (or Ctrl Shift Z)'], ['t', 'next theme'], ['Esc', 'leave a field or this help']]],
  ['List of cases', [['↑ ↓', 'move, also Page, Home and End'], ['Enter', 'open the case'],
    ['/', 'search'], ['c', 'to the list']]],
  ['Case', [['j', 'next case'], ['k', 'case before'], ['l', 'back to the list'],
    ['c', 'to the concepts'], ['w', 'why not another label?'], ['m', 'write a note'],
    ['/', 'find a concept']]],
  ['In the concepts', [['↑ ↓', 'from concept to concept'], ['y or 1', 'it is there'],
    ['n or 0', 'it is not there'], ['v', 'write a value, then Enter'],
    ['Backspace', 'take the correction back'], ['Enter', 'show the evidence']]],
  ['Weights', [['← ↑ → ↓', 'from weight to weight'], ['Enter', 'edit the weight']]],
];

export function keysOn() {
  try {
    return localStorage.getItem(KEPT) !== 'off';
  } catch {
    return true;
  }
}

export function keysDialog() {
  if (document.querySelector('dialog[open]')) return;
  const parts = KEYS.map(([title, keys]) => el('section', {}, el('h3', {}, title),
    el('dl', {}, ...keys.flatMap(([key, text]) => [
      el('dt', {}, ...key.split(' ').map((k) => (k === 'or' ? ' or ' : el('kbd', {}, k)))),
      el('dd', {}, text)]))));
  const single = el('input', { type: 'checkbox', checked: keysOn(), change: () => {
    try {
      localStorage.setItem(KEPT, single.checked ? 'on' : 'off');
    } catch {
      single.checked = true; // nothing can be kept here
    }
  } });
  const dialog = el('dialog', { class: 'keys', 'aria-labelledby': 'keys-title',
    close: () => dialog.remove() },
  el('header', {}, el('h2', { id: 'keys-title' }, 'Keys'),
    button('Close', () => dialog.close(), { class: 'plain' }, '×')),
  el('div', { class: 'columns' }, ...parts),
  el('label', {}, single, ' Single keys act (the arrows, Enter and Ctrl Z always do)'));
  document.body.append(dialog);
  dialog.showModal();
}
