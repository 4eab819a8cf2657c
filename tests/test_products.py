"""Product photos: images on S3 or the web, ids and labels in Postgres, from one short config."""

import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from pydantic import TypeAdapter

from imagemill import layouts
from imagemill.errors import ConfigError, SourceError
from imagemill.layouts import Layout
from tests.conftest import ROOT, Build, Project, make_project
from tests.draw import photo_bytes
from tests.postgres import Database
from tests.servers import KEY, SECRET, S3Server
from tests.web import Page, Web

FROM_BUCKET = """\
# @package _global_
defaults:
  - /source@sources.photos: s3
  - /layout@sources.photos.layout: table
  - /table@tables.products: sql
about: {title: Product photos}
sources:
  photos:
    bucket: BUCKET
    endpoint: ENDPOINT
    layout: {join: {table: products, key: image, part: '(.+)[.]jpg', columns: {label: label}}}
tables:
  products:
    query: SELECT image, label FROM images
"""

PHOTOS, ORPHANS = 30, 10
LABELS = ("dress", "hat", "shoes")


@pytest.fixture
def shop(
    tmp_path: Path, s3_server: S3Server, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A project whose environment has the credentials of a database and a store."""
    monkeypatch.setenv("DATABASE_URL", postgres.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return make_project(tmp_path / "shop")


def write_config(project: Project, text: str, server: S3Server, bucket: str) -> None:
    given = text.replace("ENDPOINT", server.endpoint).replace("BUCKET", bucket)
    project.conf("dataset/products.yaml", given)
    project.datasets(products=[])


def bucket_of(server: S3Server, postgres: Database) -> str:
    name = postgres.name.replace("_", "-")
    server.client().create_bucket(Bucket=name)
    return name


def manifest(project: Project) -> pl.DataFrame:
    return pl.read_parquet(project.root / "data/products/leaks/manifest.parquet")


def reasons(project: Project) -> dict[str, list[str]]:
    rows = manifest(project).select("key", "reasons").iter_rows()
    return {key: said for key, said in rows if said}


def orphans(project: Project) -> list[tuple[str, ...]]:
    return pl.read_parquet(project.root / "data/products/scan/orphans.parquet").rows()


def repro(project: Project) -> str:
    """Build what changed with DVC; return what it and the stages said."""
    return project.run("dvc", "repro").stdout


@pytest.mark.slow
def test_photos_on_s3_and_labels_in_postgres_build_with_orphans_on_both_sides_named(
    shop: Project, s3_server: S3Server, postgres: Database
):
    assert sum(not line.startswith("#") for line in FROM_BUCKET.splitlines()) <= 15
    bucket = bucket_of(s3_server, postgres)
    for number in range(PHOTOS + ORPHANS):  # the last have no row
        body = photo_bytes(number, "jpg")
        s3_server.client().put_object(Bucket=bucket, Key=f"{number:03}.jpg", Body=body)
    rowed = [*range(PHOTOS), *range(900, 900 + ORPHANS)]  # the last have no photo
    rows = [(f"{n:03}", LABELS[n % 3]) for n in rowed]
    postgres.fill("images", "image text, label text", rows)
    write_config(shop, FROM_BUCKET, s3_server, bucket)
    shop.run("git", "init", "-q")
    shop.run("dvc", "init", "-q")

    said = repro(shop)
    kept = manifest(shop).filter(verdict="keep")
    assert Counter(kept["label"]) == dict.fromkeys(LABELS, PHOTOS // 3)
    without_row = {f"{n:03}.jpg": ["no_label"] for n in range(PHOTOS, PHOTOS + ORPHANS)}
    assert reasons(shop) == without_row
    assert orphans(shop) == [("products", "image", f"{n}") for n in range(900, 910)]
    assert "scan: products: 10 keys without an object, image = 900, 901, 902, 903, 904" in said
    assert "40 objects listed, 30 wanted" in said
    assert "download: 30 objects fetched" in said
    page = (shop.root / "data/products/report/index.html").read_text()
    assert all(f"<bdi>{n}</bdi>" in page for n in range(900, 910))
    assert all(f"{n:03}.jpg" in page for n in range(30, 40))

    before = shop.files()
    said = repro(shop)
    assert re.findall(r"Running stage '(\w+)@", said) == ["scan"]
    assert shop.files() == before

    postgres.run("UPDATE images SET label = 'skirt' WHERE image = '007'")
    said = repro(shop)
    assert "Running stage 'download@products'" not in said
    assert "Running stage 'measure@products'" not in said
    assert manifest(shop).filter(key="007.jpg")["label"].item() == "skirt"


FROM_WEB = """\
# @package _global_
defaults:
  - /source@sources.photos: urls
  - /layout@sources.photos.layout: table
  - /table@tables.products: sql
about: {title: Product photos}
sources:
  photos:
    table: products
    id: product_id
    url: image
    limit: 8
    allow_private: true
    keep: {bucket: BUCKET, key: "originals/{key}.jpeg", endpoint: ENDPOINT}
    layout: {join: {table: products, key: product_id, columns: {label: catalog_id}}}
tables:
  products: {query: "SELECT product_id, catalog_id, image FROM tracking_staging"}
download: {max_rejected: 0.5}
"""

IDS = 20


def listed(postgres: Database, web: Web, host: str = "a") -> None:
    """Put twenty products into the database: 17 with photos, and one of each mishap."""
    rows: list[tuple[object, ...]] = []
    for n in range(IDS):
        url = web.put(f"{host}/{n}", Page(photo_bytes(n, "jpg")))
        rows += [(n, n % 2, url)] * 2  # as often as it was tracked
    web.put(f"{host}/3", Page(status=404))
    web.put(f"{host}/4", Page(b"<html>", headers={"Content-Type": "text/html"}))
    rows = [(n, label, None if n == 5 else url) for n, label, url in rows]
    postgres.run("DROP TABLE IF EXISTS tracking_staging")
    postgres.fill("tracking_staging", "product_id int, catalog_id int, image text", rows)


def test_photos_on_the_web_are_asked_for_once_so_many_a_build_and_kept_in_a_bucket(
    shop: Project, build: Build, s3_server: S3Server, postgres: Database, web: Web, tmp_path: Path
):
    bucket = bucket_of(s3_server, postgres)
    listed(postgres, web)
    write_config(shop, FROM_WEB, s3_server, bucket)

    held, asked = [], []
    for _ in range(4):
        build(shop, "products")
        index = pl.read_parquet(shop.root / "data/products/download/index.parquet")
        held.append(index["reason"].is_null().sum())
        asked.append(len(web.asked))
    assert len(index) == IDS
    assert asked == [8, 16, 19, 19]
    assert held[-1] == 17
    lost = {"3": ["vanished"], "4": ["wrong_content_type"], "5": ["no_url"]}
    assert reasons(shop) == lost
    assert {n for path, n in web.asked.items() if path not in ("/a/3", "/a/4")} == {1}

    client = s3_server.client()
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert sorted(keys) == sorted(f"originals/{n}.jpeg" for n in range(IDS) if n not in (3, 4, 5))
    body = client.get_object(Bucket=bucket, Key="originals/7.jpeg")["Body"].read()
    assert body == photo_bytes(7, "jpg")

    # Signed links change from one query to the next: what is held is not asked for again ...
    listed(postgres, web, "b")
    web.asked.clear()
    build(shop, "products")
    assert set(web.asked) <= {"/b/3", "/b/4"}
    # ... and neither is what lies in the bucket, by a project that has nothing.
    other = make_project(tmp_path / "other")
    write_config(other, FROM_WEB.replace("limit: 8", "limit: null"), s3_server, bucket)
    web.asked.clear()
    build(other, "products")
    assert set(web.asked) == {"/b/3", "/b/4"}
    assert manifest(other).equals(manifest(shop))


def test_a_bucket_that_cannot_keep_originals_stops_the_build_before_anything_is_asked(
    shop: Project, build: Build, s3_server: S3Server, postgres: Database, web: Web
):
    listed(postgres, web)
    write_config(shop, FROM_WEB, s3_server, "no-such-bucket")
    with pytest.raises(SourceError, match=r"^sources.photos: .*no such bucket") as caught:
        build(shop, "products")
    assert "\n" not in str(caught.value)
    assert not web.asked


def test_the_shipped_config_builds_as_it_is(
    shop: Project, build: Build, s3_server: S3Server, postgres: Database, web: Web, monkeypatch
):
    text = (ROOT / "conf/dataset/products.yaml").read_text()
    shop.conf("dataset/products.yaml", text)
    shop.datasets(
        products=[
            "sources.photos.allow_private=true",
            "download.max_rejected=0.5",
            "package.formats.hdf5.width=32",
            "package.formats.hdf5.height=32",
        ]
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    s3_server.client().create_bucket(Bucket="vinted-images")
    listed(postgres, web)
    build(shop, "products")
    assert len(manifest(shop).filter(verdict="keep")) == 17
    assert (shop.root / "data/products/package").exists()


def joined(**join: object) -> Layout:
    usual = {"table": "labels", "key": "id", "columns": {"label": "label"}}
    given = {"kind": "table", "join": {**usual, **join}, "constants": {}}
    return TypeAdapter(Layout).validate_python(given)


def objects(**keys: list[str]) -> pl.DataFrame:
    rows = [(source, key) for source, listed in keys.items() for key in listed]
    return pl.DataFrame(rows, ["source", "key"], orient="row")


LABELLED = {"labels": pl.DataFrame({"id": ["1", "2", "x/3", None], "label": ["cat"] * 4})}


def test_a_part_of_a_key_finds_its_row():
    found = objects(shop=["a/1.jpg", "a/2.jpeg", "a/3.jpg", "1"])
    told = layouts.assign(found, {"shop": joined(part=r".*/(\d+)[.]jpe?g")}, LABELLED)
    assert told["label"].to_list() == ["cat", "cat", None, None]
    assert told["misfit"].to_list() == [None, None, "no_label", "no_label"]


@pytest.mark.parametrize(
    ("part", "said"),
    [("[0-9]+", "needs one group"), ("(a)(b)", "needs one group"), ("(a", "unclosed|missing")],
)
def test_a_part_must_be_one_group(part: str, said: str):
    with pytest.raises(ConfigError, match=rf"^sources.shop.layout.join.part: .*({said})"):
        layouts.assign(objects(shop=["1"]), {"shop": joined(part=part)}, LABELLED)


def test_a_row_is_an_orphan_when_no_source_that_joins_its_table_has_it():
    found = objects(one=["1"], two=["3"], three=["2"])
    layouts_ = {"one": joined(), "two": joined(prefix="x/"), "three": folders()}
    lost = layouts.orphans(found, layouts_, LABELLED)
    assert lost.rows() == [("labels", "id", "2")]


def folders() -> Layout:
    given = {"kind": "imagefolder", "folders": [], "join": None, "constants": {}}
    return TypeAdapter(Layout).validate_python(given)
