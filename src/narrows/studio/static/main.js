/** The studio starts here. */
import { takeToken } from './api.js';
import { Frame } from './frame.js';

const frame = new Frame();
takeToken();
frame.start().catch((error) => frame.failed(error));
addEventListener('hashchange', () => {
  // the printed address pasted into a window that is already open
  if (takeToken()) location.reload();
});
