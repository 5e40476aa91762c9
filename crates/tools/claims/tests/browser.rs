//! The chat's page in a real browser: Chromium, driven by its DevTools protocol.

#[path = "examples/mod.rs"]
mod examples;
#[path = "../../../tcp-echo/tests/program/mod.rs"]
mod program;

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use program::{PATIENCE, Program};
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// A browser of the test's own, which knows nothing of any other and asks no host.
struct Browser {
    devtools: WebSocket<TcpStream>,
    calls: u64,
    /// What happened unasked.
    events: Vec<Value>,
    // In this order: the browser ends before its folder goes.
    _chromium: Program,
    _profile: TempDir,
}

/// A tab, by the name of the session that controls it.
struct Page(String);

impl Browser {
    fn start() -> Browser {
        let found = Command::new("chromium").arg("--version").output();
        assert!(
            found.is_ok_and(|output| output.status.success()),
            "this test needs chromium: sudo apt-get install chromium"
        );
        let profile = TempDir::new().unwrap();
        let folder = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--remote-debugging-port=0",
            &folder,
        ];
        let mut chromium = Program::start("chromium", &arguments);
        let address = chromium.wait_for_error("DevTools listening on ws://");
        let (host, _) = address.split_once('/').expect("a path");
        let tcp = TcpStream::connect(host).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let (devtools, _) =
            tungstenite::client(format!("ws://{address}"), tcp).unwrap();
        Browser {
            devtools,
            calls: 0,
            events: Vec::new(),
            _chromium: chromium,
            _profile: profile,
        }
    }

    /// Calls a method of the DevTools protocol and returns its result.
    fn call(&mut self, session: Option<&Page>, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut call =
            json!({ "id": self.calls, "method": method, "params": params });
        if let Some(Page(session)) = session {
            call["sessionId"] = json!(session);
        }
        self.devtools.send(Message::text(call.to_string())).unwrap();
        loop {
            let mut message = self.read();
            if message["id"] == self.calls {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    fn read(&mut self) -> Value {
        let message = self.devtools.read().unwrap().into_text().unwrap();
        serde_json::from_str(&message).unwrap()
    }

    /// Opens a page and waits until it is loaded.
    fn open(&mut self, url: &str) -> Page {
        let blank = json!({ "url": "about:blank" });
        let tab = self.call(None, "Target.createTarget", blank);
        let attach = json!({ "targetId": tab["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach);
        let page =
            Page(session["sessionId"].as_str().expect("a session").to_string());
        self.call(Some(&page), "Page.enable", json!({}));
        let tell = json!({ "enabled": true });
        self.call(Some(&page), "Page.setLifecycleEventsEnabled", tell);
        let loading = self.call(Some(&page), "Page.navigate", json!({ "url": url }));
        let is_loaded = |event: &Value| {
            event["params"]["loaderId"] == loading["loaderId"]
                && event["params"]["name"] == "load"
        };
        while !self.events.iter().any(is_loaded) {
            let event = self.read();
            self.events.push(event);
        }
        page
    }

    /// The value of a JavaScript expression on the page; waits for a promise's.
    fn evaluate(&mut self, page: &Page, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
        });
        let mut result = self.call(Some(page), "Runtime.evaluate", params);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until the condition holds on the page.
    fn wait_until(&mut self, page: &Page, condition: &str) {
        let promise = format!(
            "new Promise((resolve) => {{
                const deadline = Date.now() + {};
                const look = () => {{
                    if ({condition}) resolve(true);
                    else if (Date.now() > deadline) resolve(document.body.innerText);
                    else setTimeout(look, 10);
                }};
                look();
            }})",
            PATIENCE.as_millis() / 2
        );
        assert_eq!(self.evaluate(page, &promise), json!(true), "never: {condition}");
    }

    fn wait_until_connected(&mut self, page: &Page) {
        let state =
            "document.getElementById('state').textContent.startsWith('Connected')";
        self.wait_until(page, state);
    }

    /// Waits until the last message on the page is this one.
    fn wait_for_message(&mut self, page: &Page, text: &str) {
        let last = "document.querySelector('#messages li:last-child')?.textContent";
        self.wait_until(page, &format!("{last} === {}", json!(text)));
    }

    /// Types as a person would, into what has the focus, and presses Enter.
    fn type_line(&mut self, page: &Page, text: &str) {
        self.call(Some(page), "Page.bringToFront", json!({}));
        // The page puts it there by itself, once it is shown.
        self.wait_until(page, "document.activeElement.id === 'messageBox'");
        self.call(Some(page), "Input.insertText", json!({ "text": text }));
        for kind in ["keyDown", "keyUp"] {
            let key = json!({
                "type": kind, "key": "Enter", "text": "\r", "windowsVirtualKeyCode": 13,
            });
            self.call(Some(page), "Input.dispatchKeyEvent", key);
        }
    }
}

fn start_server(address: &str) -> (Program, SocketAddr) {
    start_server_with(&[address])
}

fn start_server_with(arguments: &[&str]) -> (Program, SocketAddr) {
    let path = examples::program("ws-chat", "ws-server");
    let mut server = Program::start(path.to_str().unwrap(), arguments);
    let address = server.address("WebSocket server on ws://");
    (server, address)
}

fn listen(address: SocketAddr) -> Program {
    let path = examples::program("ws-chat", "ws-client");
    let url = format!("ws://{address}");
    let mut client = Program::start(path.to_str().unwrap(), &[&url, "--listen"]);
    client.wait_for("Connected to server");
    client
}

/// The port of the client that joined last.
fn joined(server: &mut Program) -> String {
    server.wait_for("Client connected: 127.0.0.1:")
}

/// Claim 66: the browser speaks it natively.
#[test]
fn two_pages_and_a_terminal_talk() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let mut browser = Browser::start();
    let url = format!("http://{address}");
    let mut terminal = listen(address);
    joined(&mut server);
    let first = browser.open(&url);
    browser.wait_until_connected(&first);
    let first_port = joined(&mut server);
    let second = browser.open(&url);
    browser.wait_until_connected(&second);
    let second_port = joined(&mut server);

    browser.type_line(&second, "Olá from a page 😀");
    let heard = format!("[{second_port}]: Olá from a page 😀");
    browser.wait_for_message(&first, &heard);
    browser.wait_for_message(&second, "You: Olá from a page 😀");
    assert_eq!(format!("[{}", terminal.wait_for("[")), heard);

    // By the button this time.
    let click = "messageBox.value = 'By the button'; sendButton.click()";
    browser.evaluate(&first, click);
    browser.wait_for_message(&second, &format!("[{first_port}]: By the button"));

    browser.evaluate(&first, "nameBox.value = ' Ana '");
    browser.type_line(&first, "With a name");
    browser.wait_for_message(&second, &format!("[{first_port}]: Ana: With a name"));
    browser.wait_for_message(&first, "You: With a name");

    let client = examples::program("ws-chat", "ws-client");
    let command =
        format!("echo From the terminal | {} ws://{address}", client.display());
    assert_eq!(Program::run("/bin/sh", &["-c", &command]).code, Some(0));
    let port = joined(&mut server);
    for page in [&first, &second] {
        browser.wait_for_message(page, &format!("[{port}]: From the terminal"));
        // Nothing but the page itself was asked for, here or elsewhere.
        let others = "performance.getEntriesByType('resource').length";
        assert_eq!(browser.evaluate(page, others), json!(0));
    }
}

#[test]
fn what_others_write_appears_as_text_and_never_as_html() {
    let (mut server, address) = start_server("127.0.0.1:0");
    let mut browser = Browser::start();
    let url = format!("http://{address}");
    let [first, second] = [(); 2].map(|()| {
        let page = browser.open(&url);
        browser.wait_until_connected(&page);
        page
    });
    joined(&mut server);
    let port = joined(&mut server);
    let attack = "<img src=x onerror=\"document.title = 'broken'\"><b>bold</b>";
    browser.type_line(&second, attack);
    browser.wait_for_message(&first, &format!("[{port}]: {attack}"));
    browser.wait_for_message(&second, &format!("You: {attack}"));
    for page in [&first, &second] {
        let elements = "document.querySelectorAll('#messages li *, img').length";
        assert_eq!(browser.evaluate(page, elements), json!(0));
        assert_eq!(browser.evaluate(page, "document.title"), json!("WebSocket Chat"));
    }
}

#[test]
fn the_page_comes_back_by_itself_when_the_server_does() {
    let (server, address) = start_server("127.0.0.1:0");
    let mut browser = Browser::start();
    let page = browser.open(&format!("http://{address}"));
    browser.wait_until_connected(&page);
    server.signal("INT");
    assert_eq!(server.end().code, Some(0));
    let state = "document.getElementById('state').textContent";
    browser.wait_until(&page, &format!("{state}.startsWith('Disconnected')"));
    assert_eq!(browser.evaluate(&page, "sendButton.disabled"), json!(true));
    // What is typed meanwhile stays in the box.
    browser.type_line(&page, "I am back");
    assert_eq!(browser.evaluate(&page, "messageBox.value"), json!("I am back"));

    let (mut server, again) = start_server(&address.to_string());
    assert_eq!(again, address);
    let port = joined(&mut server);
    browser.wait_until_connected(&page);
    let mut terminal = listen(address);
    browser.type_line(&page, ".");
    assert_eq!(terminal.wait_for("["), format!("{port}]: I am back."));
}

/// A page of another origin, in a browser that enforces nothing here: it is the server
/// that has to refuse.
#[test]
fn a_page_from_elsewhere_cannot_join() {
    let (_server, address) = start_server("127.0.0.1:0");
    let (_other_server, elsewhere) = start_server("127.0.0.1:0");
    let mut browser = Browser::start();
    for url in [format!("http://{elsewhere}"), "about:blank".to_string()] {
        let page = browser.open(&url);
        let attempt = format!(
            "new Promise((resolve) => {{
                const ws = new WebSocket('ws://{address}');
                ws.onopen = () => resolve('open');
                ws.onerror = () => resolve('refused');
            }})"
        );
        assert_eq!(browser.evaluate(&page, &attempt), json!("refused"), "{url}");
    }
}

/// A page as the lecture has it: one that is opened from disk, where its origin is `null`.
fn page_on_disk(address: SocketAddr) -> TempDir {
    let folder = TempDir::new().unwrap();
    let page = format!(
        r#"<!doctype html><title>Chat</title>
        <ul id="messages"></ul><input id="messageBox"><button id="sendButton"></button>
        <script>
          const ws = new WebSocket("ws://localhost:{}");
          const add = (text) => {{
            messages.append(Object.assign(document.createElement("li"), {{ textContent: text }}));
          }};
          ws.onopen = () => add("open");
          ws.onerror = () => add("refused");
          ws.onmessage = (event) => add(`Server: ${{event.data}}`);
          sendButton.onclick = () => {{ ws.send(messageBox.value); add(`Client: ${{messageBox.value}}`); }};
        </script>"#,
        address.port()
    );
    std::fs::write(folder.path().join("chat.html"), page).unwrap();
    folder
}

#[test]
fn the_slides_page_opened_from_disk_is_refused_with_a_hint_and_let_in_by_the_option()
{
    let mut browser = Browser::start();
    let (mut server, address) = start_server("127.0.0.1:0");
    let folder = page_on_disk(address);
    let url = format!("file://{}/chat.html", folder.path().display());
    let page = browser.open(&url);
    browser.wait_for_message(&page, "refused");
    assert!(server.wait_for_error("Refused ").contains("--allow-origin null"));

    let (mut server, address) =
        start_server_with(&["127.0.0.1:0", "--allow-origin", "null"]);
    let folder = page_on_disk(address);
    let url = format!("file://{}/chat.html", folder.path().display());
    let page = browser.open(&url);
    browser.wait_for_message(&page, "open");
    let port = joined(&mut server);
    let mut terminal = listen(address);
    browser.evaluate(&page, "messageBox.value = 'From disk'; sendButton.click()");
    browser.wait_for_message(&page, "Client: From disk");
    assert_eq!(terminal.wait_for("["), format!("{port}]: From disk"));
}

#[test]
fn every_control_of_the_page_has_an_accessible_name() {
    let (_server, address) = start_server("127.0.0.1:0");
    let mut browser = Browser::start();
    let page = browser.open(&format!("http://{address}"));
    browser.wait_until_connected(&page);
    let tree = browser.call(Some(&page), "Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().expect("nodes");
    let expected = [
        ("log", "Messages"),
        ("textbox", "Your name"),
        ("textbox", "Message"),
        ("button", "Send"),
    ];
    for (role, name) in expected {
        let found = nodes.iter().any(|node| {
            node["role"]["value"] == role && node["name"]["value"] == name
        });
        assert!(found, "no {role} named {name} in {tree:#}");
    }
}
