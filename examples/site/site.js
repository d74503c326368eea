// What a page can ask of the chat. It works before the tag has loaded, too.
const chat = (...call) => (window.Priyo = window.Priyo || []).push(call);

document.getElementById("ask").addEventListener("click", () => chat("open"));
chat("on", "message", ({ from }) => console.log(`${from ?? "The team"} has answered.`));

// A page that knows who is signed in says so; `hash` comes from its own server:
//
//     chat("identify", { userId: "4711", name: "Mina", email: "mina@example.com", hash: "5f2c…" });
