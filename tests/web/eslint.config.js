// Beside the rules that are recommended: nothing that turns text into markup or code.
import { createRequire } from 'node:module';
import { join } from 'node:path';

// The tools may be installed elsewhere than beside this file.
const elsewhere = process.env.NARROWS_WEB_TOOLS;
const need = createRequire(elsewhere ? join(elsewhere, 'package.json') : import.meta.url);
const js = need('@eslint/js');
const globals = need('globals');

const MARKUP = ['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'createContextualFragment', 'write', 'writeln'];

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2022, sourceType: 'module', globals: globals.browser },
    rules: {
      eqeqeq: 'error',
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-new-func': 'error',
      'no-script-url': 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'no-restricted-globals': ['error', 'event', 'name', 'find', 'status', 'top'],
      'no-restricted-properties': ['error', ...MARKUP.map((property) => ({ property }))],
      'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      complexity: ['error', 16],
      'max-lines': ['error', 330],
    },
  },
];
