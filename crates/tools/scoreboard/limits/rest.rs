//! The limit for REST: the routes of rest-server on axum, the framework most in use.
//! Usage: `limit-rest ADDR:PORT [silent]`. It prints the lines of rest-server, unless it
//! is told to be silent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::{env, error::Error};

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderName, StatusCode, header::LOCATION};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};
use tokio::net::TcpListener;

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Item {
    name: String,
    price: Number,
}

#[derive(Default)]
struct Items {
    items: BTreeMap<u64, Item>,
    last_id: u64,
}

type Shared = State<Arc<Mutex<Items>>>;

/// On one thread, as rest-server.
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:8000".into());
    let is_silent = arguments.next().is_some_and(|word| word == "silent");
    let mut items = Items::default();
    items.add(Item { name: "Laptop".into(), price: 1200.into() });
    items.add(Item { name: "Mouse".into(), price: 50.into() });
    let mut app = Router::new()
        .route("/", get(async || Json(json!({"message": "Hello, API!"}))))
        .route("/items", get(list).post(create))
        .route("/items/{id}", get(read).put(replace).delete(delete))
        .with_state(Arc::new(Mutex::new(items)));
    if !is_silent {
        app = app.layer(from_fn(tell));
    }
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        println!("REST server on http://{}", listener.local_addr()?);
        Ok(axum::serve(listener, app).await?)
    })
}

async fn tell(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let asked = format!("{} {}", request.method(), request.uri().path());
    let response = next.run(request).await;
    println!("{peer} {asked}: {}", response.status().as_u16());
    response
}

impl Items {
    fn add(&mut self, item: Item) -> u64 {
        self.last_id += 1;
        self.items.insert(self.last_id, item);
        self.last_id
    }
}

fn missing() -> Response {
    let error = Json(json!({"error": "Item not found"}));
    (StatusCode::NOT_FOUND, error).into_response()
}

fn with_id(id: u64, item: &Item) -> Value {
    json!({"id": id, "name": item.name, "price": item.price})
}

async fn list(State(items): Shared) -> Json<Value> {
    let items = items.lock().unwrap();
    Json(items.items.iter().map(|(id, item)| with_id(*id, item)).collect())
}

async fn read(State(items): Shared, Path(id): Path<u64>) -> Response {
    let items = items.lock().unwrap();
    items.items.get(&id).map_or_else(missing, |item| Json(item).into_response())
}

async fn create(
    State(items): Shared,
    Json(item): Json<Item>,
) -> (StatusCode, [(HeaderName, String); 1], Json<Value>) {
    let id = items.lock().unwrap().add(item.clone());
    let location = [(LOCATION, format!("/items/{id}"))];
    (StatusCode::CREATED, location, Json(with_id(id, &item)))
}

async fn replace(
    State(items): Shared,
    Path(id): Path<u64>,
    Json(item): Json<Item>,
) -> Response {
    match items.lock().unwrap().items.get_mut(&id) {
        Some(found) => {
            found.clone_from(&item);
            Json(item).into_response()
        }
        None => missing(),
    }
}

async fn delete(State(items): Shared, Path(id): Path<u64>) -> Response {
    let deleted = items.lock().unwrap().items.remove(&id);
    deleted.map_or_else(missing, |_| StatusCode::NO_CONTENT.into_response())
}
