// Shows the buttons that copy a value. Without a script, the value is selected and copied as usual.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  button.hidden = false;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    field.select();
    const isCopied = await navigator.clipboard.writeText(field.value).then(
      () => true,
      () => document.execCommand("copy"),
    );
    if (!isCopied || button.textContent === "Copied") return;
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 2000);
  });
}
for (const field of document.querySelectorAll("input.copy")) field.addEventListener("focus", () => field.select());
