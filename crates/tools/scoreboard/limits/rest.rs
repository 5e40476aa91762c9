//! The limit for REST: the routes of rest-server on axum, a widely used framework.
//! Usage: `limit-rest ADDR:PORT [silent]`. It prints the lines of rest-server, unless it
//! is started with `silent`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::{env, error::Error};

use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request, State};
use axum::http::{StatusCode, header::*, request::Parts};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json, value::RawValue};
use tokio::net::TcpListener;

/// The items, and the last id that was given out.
type Items = State<Arc<Mutex<(BTreeMap<u64, Item>, u64)>>>;

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Item {
    name: String,
    price: Number,
}

struct Id(u64);

/// On one thread, like rest-server.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:8000".into());
    let is_silent = arguments.next().is_some_and(|word| word == "silent");
    let laptop = Item { name: "Laptop".into(), price: 1200.into() };
    let mouse = Item { name: "Mouse".into(), price: 50.into() };
    let items = BTreeMap::from([(1, laptop), (2, mouse)]);
    let root = get(async || Json(json!({"message": "Hello, API!"})));
    let all = get(list).post(create);
    let one = get(read).put(replace).delete(delete);
    let one = one.fallback(async || not_allowed("DELETE, GET, HEAD, PUT"));
    let mut app = Router::new()
        .route("/", root.fallback(async || not_allowed("GET, HEAD")))
        .route("/items", all.fallback(async || not_allowed("GET, HEAD, POST")))
        .route("/items/{id}", one)
        .fallback(async || error(StatusCode::NOT_FOUND, "Not found"))
        .with_state(Arc::new(Mutex::new((items, 2))));
    if !is_silent {
        app = app.layer(from_fn(tell));
    }
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind(address).await?;
    println!("REST server on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
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

fn error(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}

fn not_allowed(methods: &'static str) -> Response {
    ([(ALLOW, methods)], error(StatusCode::METHOD_NOT_ALLOWED, methods))
        .into_response()
}

impl<S: Sync> FromRequestParts<S> for Id {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Id, Response> {
        let id = parts.uri.path().trim_start_matches("/items/").parse();
        let wrong = |_| error(StatusCode::UNPROCESSABLE_ENTITY, "An id is a number");
        id.map(Id).map_err(wrong)
    }
}

impl<S: Send + Sync> FromRequest<S> for Item {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Item, Response> {
        let json = Json::<Box<RawValue>>::from_request(request, state).await;
        let Json(json) = json.map_err(|e| error(e.status(), &e.body_text()))?;
        // To serde an array is a struct as well.
        let is_object = json.get().starts_with('{');
        let item = serde_json::from_str(json.get()).ok().filter(|item: &Item| {
            is_object
                && (1..=100).contains(&item.name.chars().count())
                && item.price.as_f64() >= Some(0.0)
        });
        let why = "name: 1 to 100 characters, price: a number from 0";
        item.ok_or_else(|| error(StatusCode::UNPROCESSABLE_ENTITY, why))
    }
}

fn missing() -> Response {
    error(StatusCode::NOT_FOUND, "Item not found")
}

fn with_id(id: u64, item: &Item) -> Value {
    json!({"id": id, "name": item.name, "price": item.price})
}

async fn list(State(items): Items) -> Json<Value> {
    let items = items.lock().unwrap();
    Json(items.0.iter().map(|(id, item)| with_id(*id, item)).collect())
}

async fn read(State(items): Items, Id(id): Id) -> Result<Json<Item>, Response> {
    let item = items.lock().unwrap().0.get(&id).cloned();
    item.map(Json).ok_or_else(missing)
}

async fn create(State(items): Items, item: Item) -> Response {
    let (items, last_id) = &mut *items.lock().unwrap();
    *last_id += 1;
    let (location, json) = (format!("/items/{last_id}"), with_id(*last_id, &item));
    items.insert(*last_id, item);
    (StatusCode::CREATED, [(LOCATION, location)], Json(json)).into_response()
}

async fn replace(
    State(items): Items,
    Id(id): Id,
    item: Item,
) -> Result<Json<Item>, Response> {
    let mut items = items.lock().unwrap();
    items.0.get_mut(&id).ok_or_else(missing)?.clone_from(&item);
    Ok(Json(item))
}

async fn delete(State(items): Items, Id(id): Id) -> Result<StatusCode, Response> {
    let item = items.lock().unwrap().0.remove(&id);
    item.map(|_| StatusCode::NO_CONTENT).ok_or_else(missing)
}
