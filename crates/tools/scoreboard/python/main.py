"""A REST API over JSON with FastAPI, its items in memory: the twin of rest-server."""

import sys

import uvicorn
from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    name: str = Field(min_length=1, max_length=100)
    price: NonNegativeInt | NonNegativeFloat


app = FastAPI()

# In-memory "database"
items = {1: Item(name="Laptop", price=1200), 2: Item(name="Mouse", price=50)}
# No id is ever given twice, and they end.
free_ids = iter(range(3, 10_001))


def check(item_id):
    if item_id not in items:
        raise HTTPException(404, f"there is no item {item_id}")


@app.get("/")
async def read_root():
    return {"message": "Hello, API!"}


@app.get("/items")
async def list_items():
    return [{"id": item_id, **dict(item)} for item_id, item in items.items()]


@app.post("/items", status_code=201)
async def create_item(item: Item, response: Response):
    item_id = next(free_ids, None)
    if item_id is None:
        raise HTTPException(507, "there is room for 10000 items")
    items[item_id] = item
    response.headers["Location"] = f"/items/{item_id}"
    return {"id": item_id, **dict(item)}


@app.get("/items/{item_id}")
async def read_item(item_id: int) -> Item:
    check(item_id)
    return items[item_id]


@app.put("/items/{item_id}")
async def replace_item(item_id: int, item: Item) -> Item:
    check(item_id)
    items[item_id] = item
    return item


@app.delete("/items/{item_id}", status_code=204)
async def delete_item(item_id: int):
    check(item_id)
    del items[item_id]


if __name__ == "__main__":
    host, port = sys.argv[1].rsplit(":", 1)
    sys.stdout.reconfigure(line_buffering=True)
    uvicorn.run(
        app,
        host=host,
        port=int(port),
        timeout_keep_alive=10,
        timeout_graceful_shutdown=1,
    )
