// Runs before the page is painted, so that it never flashes in the wrong colours.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("headrace-theme");
  } catch { /* no storage: the system's colours */ }
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
})();
