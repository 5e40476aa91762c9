//! The routes of `rest-server` in axum, to be compared with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderName, StatusCode, header::LOCATION};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Item {
    name: String,
    price: serde_json::Number,
}

#[derive(Default)]
struct Items {
    items: BTreeMap<u64, Item>,
    last_id: u64,
}

type Shared = State<Arc<Mutex<Items>>>;

/// Serves on one thread, as `rest-server` does; with a story, prints the same lines.
pub fn serve(address: SocketAddr, story: bool) -> Result<()> {
    let mut items = Items::default();
    items.add(Item { name: "Laptop".into(), price: 1200.into() });
    items.add(Item { name: "Mouse".into(), price: 50.into() });
    let mut app = Router::new()
        .route("/", get(async || Json(json!({"message": "Hello, API!"}))))
        .route("/items", get(list).post(create))
        .route("/items/{id}", get(read).put(replace).delete(delete))
        .with_state(Arc::new(Mutex::new(items)));
    if story {
        app = app.layer(from_fn(tell));
    }
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        Ok(axum::serve(listener, app).await?)
    })
}

async fn tell(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let asked = format!("{} {}", request.method(), request.uri());
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
    (StatusCode::NOT_FOUND, Json(json!({"error": "there is no such item"})))
        .into_response()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{load::Load, load::connect, measure::reading, protocol::http::Http};
    use socket2::{SockAddr, Type};
    use std::{thread, time::Duration};

    #[test]
    fn a_reading_that_is_put_into_an_item_comes_back() {
        let port = brokers::free_port().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        thread::spawn(move || serve(address, false));
        let address = SockAddr::from(address);
        while connect(&address, Type::STREAM).is_err() {
            thread::yield_now();
        }
        let mut load = Load::new().unwrap();
        let http = Box::new(Http(reading(64)));
        load.add_client((&address, Type::STREAM), http, false).unwrap();
        assert_eq!(load.at_rate(100, Duration::from_millis(50)).unwrap().len(), 5);
    }
}
