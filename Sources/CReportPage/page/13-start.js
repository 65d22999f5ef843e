// The theme, and everything set going.

function theme() {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const key = "sdinspect-theme";
  // A page opened from a file may not be allowed to keep anything.
  const kept = (() => { try { return localStorage.getItem(key); } catch { return null; } })();
  let chosen = kept === "light" || kept === "dark" ? kept : null;
  const apply = () => {
    const now = chosen ?? (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = now;
    button.setAttribute("aria-pressed", String(now === "dark"));
    button.setAttribute("aria-label", now === "dark" ? "Change to light colours" : "Change to dark colours");
  };
  button.addEventListener("click", () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem(key, chosen); } catch { /* stays for this visit */ }
    apply();
  });
  system.addEventListener("change", apply);
  // Paper is white.
  addEventListener("beforeprint", () => { document.documentElement.dataset.theme = "light"; });
  addEventListener("afterprint", apply);
  apply();
}

theme();
overview();
const openTensor = tensorDialog();
treemap(openTensor);
distributions();
tensorTable(openTensor);
graphs(openTensor);
document.documentElement.dataset.ready = "";
