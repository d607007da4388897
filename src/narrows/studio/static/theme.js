// Before the first paint: the theme that the person chose, if any.
(() => {
  try {
    const chosen = localStorage.getItem('narrows-theme');
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch {
    // a browser that keeps nothing follows the system's theme
  }
})();
