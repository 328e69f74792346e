"""The store, and every way in which a disk and other programs may treat it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.needs import needs
from tunnel_server.owners import store as module
from tunnel_server.owners.names import Kept, Seen
from tunnel_server.owners.store import (
    APPLICATION_ID,
    FILE_NAME,
    MIGRATIONS,
    Store,
    StoreNotMadeError,
    StoreUnusableError,
    check_store,
    first_read,
    open_store,
)

HERE = Path(__file__).parent
DOMAIN = "example.com"
SHOP = Kept("ann", True, 1_764_000_000)
OTTER = Kept("key:0123", False, 1_764_000_001)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with closing(open_store(path)) as store:
        yield store


def unusable(path: Path) -> str:
    with pytest.raises(StoreUnusableError) as caught:
        open_store(path)
    return str(caught.value)


def filled(path: Path, count: int = 300) -> None:
    with closing(open_store(path)) as store:
        store.write(DOMAIN, {f"n{number}": SHOP for number in range(count)})


# --- what it keeps -------------------------------------------------------------------------------


def test_what_was_written_is_there_for_the_next(path: Path) -> None:
    with closing(open_store(path)) as store:
        store.write(DOMAIN, {"shop": SHOP, "otter": OTTER})
        store.write(DOMAIN, {"otter": None, "shop": SHOP._replace(owner="bob", seen_at=7.9)})
        assert repr(store) == f"<Store {path}>"
    with closing(open_store(path)) as store:
        assert store.names_of(DOMAIN) == {"shop": Kept("bob", True, 7)}


def test_domains_that_share_it_have_names_of_their_own(store: Store) -> None:
    store.write(DOMAIN, {"shop": SHOP})
    store.write("example.org", {"shop": OTTER})
    assert store.names_of(DOMAIN) == {"shop": SHOP}
    store.write(DOMAIN, {"shop": None})
    assert store.names_of("example.org") == {"shop": OTTER}


def test_it_is_its_users_alone_under_any_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        open_store(path).close()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_of_two_that_make_it_at_once_the_first_wins(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(draft: Path, to: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        filled(path, 1)
        link(draft, to)

    monkeypatch.setattr(os, "link", late)
    with closing(open_store(path)) as store:
        assert store.names_of(DOMAIN) == {"n0": SHOP}
    assert list(path.parent.iterdir()) == [path]


def test_one_write_is_whole_or_not_there(store: Store) -> None:
    broken = {"shop": SHOP, "otter": OTTER._replace(owner=None)}  # type: ignore[arg-type]  # that is the test
    with pytest.raises(sqlite3.IntegrityError):
        store.write(DOMAIN, broken)
    assert store.names_of(DOMAIN) == {}
    store.write(DOMAIN, {"shop": SHOP})


def test_what_another_program_writes_is_noticed_and_what_this_one_does_is_not(
    store: Store, path: Path
) -> None:
    store.write(DOMAIN, {"shop": SHOP})
    assert not store.has_changed()
    with closing(open_store(path)) as other:
        other.write(DOMAIN, {"shop": None})
    assert store.has_changed()
    assert not store.has_changed()


# --- backups and schemas -------------------------------------------------------------------------


def test_a_backup_is_whole_beside_one_that_writes(store: Store, path: Path) -> None:
    store.write(DOMAIN, {f"n{number}": SHOP for number in range(1_000)})
    copy = path.with_name("copy.db")
    store.back_up(copy)
    store.write(DOMAIN, {"late": SHOP})
    with closing(open_store(copy)) as copied:
        assert len(copied.names_of(DOMAIN)) == 1_000
    assert copy.stat().st_mode & 0o777 == 0o600
    assert {each.name for each in path.parent.iterdir()} == {FILE_NAME, "copy.db"}


@pytest.mark.parametrize("schema", range(1, len(MIGRATIONS) + 1))
def test_a_store_of_each_schema_is_opened_and_brought_to_the_newest(
    path: Path, schema: int
) -> None:
    """The files were made by the versions that had that schema."""
    shutil.copy(HERE / f"store-{schema}.db", path)
    path.chmod(0o600)
    with closing(open_store(path)) as store:
        assert store.names_of(DOMAIN) == {"shop": SHOP, "otter": OTTER}
        assert store._connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert [each.name for each in store.tokens.all().tokens] == (["ann"] if schema > 1 else [])


def test_a_migration_leaves_a_copy_and_lets_the_old_program_write_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_store(path)) as old:
        old.write(DOMAIN, {"shop": SHOP})
        more = "ALTER TABLE name ADD COLUMN note TEXT"
        monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, (more,)))
        with closing(open_store(path)) as new:
            assert new.names_of(DOMAIN) == {"shop": SHOP}
            old.write(DOMAIN, {"otter": OTTER})
            assert new.has_changed()
            assert new.names_of(DOMAIN) == {"shop": SHOP, "otter": OTTER}
    monkeypatch.undo()
    before = path.with_name(f"{FILE_NAME}.before-{len(MIGRATIONS) + 1}")
    with closing(open_store(before)) as copy:
        assert copy.names_of(DOMAIN) == {"shop": SHOP}


def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path, 3)
    more = ("ALTER TABLE name ADD COLUMN note TEXT", "ALTER TABLE nonsense ADD COLUMN x")
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, more))
    assert "cannot be read (no such table: nonsense)" in unusable(path)
    monkeypatch.undo()
    with closing(open_store(path)) as store:
        assert len(store.names_of(DOMAIN)) == 3


def test_a_newer_one_is_refused(path: Path) -> None:
    filled(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    said = unusable(path)
    assert f"is a newer version's (schema {len(MIGRATIONS) + 1}; this one knows" in said
    assert "backup" in said


# --- what is no store ----------------------------------------------------------------------------


def test_an_empty_file_is_refused_and_stays_empty(path: Path) -> None:
    path.touch()
    assert f"{path} is empty: what it held is lost" in unusable(path)
    assert path.stat().st_size == 0


def test_one_cut_to_nothing_beside_a_server_is_refused_by_the_next(
    store: Store, path: Path
) -> None:
    store.write(DOMAIN, {"shop": SHOP})
    os.truncate(path, 0)
    assert "is empty" in unusable(path)


def test_another_programs_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE name (x)")
    assert "is no store of trio-tunnel" in unusable(path)
    path.write_text("not at all a database, and long enough to be one" * 100)
    assert "cannot be read (file is not a database)" in unusable(path)


def test_a_damaged_one_is_refused(path: Path) -> None:
    filled(path, 3_000)
    with path.open("r+b") as file:
        size = path.stat().st_size
        for page in range(1, size // 4096):
            file.seek(page * 4096 + 8)
            file.write(b"\xff" * 64)
    said = unusable(path)
    assert "is damaged" in said or "malformed" in said
    assert "put a backup in its place" in said


def test_a_folder_in_its_place_is_refused(path: Path) -> None:
    path.mkdir()
    assert "unable to open database file" in unusable(path)


# --- disks ---------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    mount, umount = needs("mount", "umount")
    if os.geteuid() != 0:
        needs("root")
    folder.mkdir()
    subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run([umount, folder], check=True)


def fill(folder: Path) -> Path:
    """What takes all the room that is left."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


def test_on_a_full_disk_none_is_made_and_the_reason_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        with pytest.raises(StoreNotMadeError) as caught:
            open_store(disk / FILE_NAME)
        assert "full" in str(caught.value)
        assert "names are kept in memory" in str(caught.value)
        assert [each.name for each in disk.iterdir()] == ["ballast"]


def test_on_a_full_disk_it_is_read_and_written_again_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        filled(disk / FILE_NAME)
        ballast = fill(disk)
        with closing(open_store(disk / FILE_NAME)) as store:  # a start
            many = {f"m{number}": SHOP for number in range(5_000)}
            with pytest.raises(sqlite3.OperationalError, match=r"full|disk I/O"):
                store.write(DOMAIN, many)
            assert len(store.names_of(DOMAIN)) == 300
            ballast.unlink()
            store.write(DOMAIN, many)
            assert len(store.names_of(DOMAIN)) == 5_300


def test_in_a_folder_that_cannot_be_written_none_is_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> int:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(StoreNotMadeError, match="Read-only file system"):
        open_store(path)


def test_one_that_is_deleted_under_it_cannot_be_written_and_is_still_read(
    store: Store, path: Path
) -> None:
    store.write(DOMAIN, {"shop": SHOP})
    path.unlink()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store.write(DOMAIN, {"otter": OTTER})
    assert store.names_of(DOMAIN) == {"shop": SHOP}


def test_one_that_another_program_writes_is_waited_for_and_then_given_up(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_S", 0.05)
    store.write(DOMAIN, {"shop": SHOP})
    with closing(open_store(path)) as impatient, closing(open_store(path)) as other:
        other._connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            impatient.write(DOMAIN, {"otter": OTTER})
        assert impatient.names_of(DOMAIN) == {"shop": SHOP}
        writing = threading.Thread(target=store.write, args=(DOMAIN, {"otter": OTTER}))
        writing.start()  # it has 2 s
        other._connection.execute("ROLLBACK")
        writing.join()
        assert impatient.names_of(DOMAIN) == {"shop": SHOP, "otter": OTTER}


def test_a_commit_that_meets_a_reader_costs_that_write_and_no_other(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_S", 0.05)
    store.write(DOMAIN, {"shop": SHOP})
    with closing(open_store(path)) as impatient, closing(open_store(path)) as reader:
        reader._connection.execute("BEGIN")
        reader.names_of(DOMAIN)  # and does not go on
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                impatient.write(DOMAIN, {"otter": OTTER})
        open_store(path).close()  # nobody else is locked out
        reader._connection.execute("ROLLBACK")
        impatient.write(DOMAIN, {"otter": OTTER})
        assert store.names_of(DOMAIN) == {"shop": SHOP, "otter": OTTER}


def test_one_that_is_locked_says_so_and_asks_for_no_backup(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_S", 0.05)
    store._connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnusableError, match=r"is locked by another program.*try again") as bad:
        open_store(path)
    assert "backup" not in str(bad.value)


def test_one_that_this_user_may_not_open_is_no_damaged_one(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(module, "_connect", refuse)
    monkeypatch.setattr(os, "access", lambda *_: False)
    for look in (open_store, check_store):
        with pytest.raises(StoreUnusableError, match=r"may not be read and written .*chown") as bad:
            look(path)
        assert "backup" not in str(bad.value)


def test_the_advice_names_a_backup_that_is_there(path: Path) -> None:
    path.write_bytes(b"no store" * 100)
    with pytest.raises(StoreUnusableError, match="put a backup in its place, and delete") as bad:
        check_store(path)
    assert "its tokens and kept names are gone" in str(bad.value)
    path.with_name("state.db.before-2").touch()
    with pytest.raises(StoreUnusableError, match=r"state.db.before-2 is one, of an upgrade"):
        check_store(path)


def test_where_another_server_has_the_names_nothing_of_other_owners_is_written(
    store: Store,
) -> None:
    """It may have given away what still waits here since a disk was full."""
    store.write(DOMAIN, {"shop": SHOP, "gone": SHOP, "kept": SHOP})
    store.write(DOMAIN, {"shop": OTTER, "gone": OTTER})  # by the other
    ours = {"shop": "ann", "gone": "ann", "kept": "ann"}
    late = SHOP._replace(seen_at=1_764_000_009)
    changes = {"shop": late, "gone": None, "kept": late, "new": late, "never": None}
    store.write(DOMAIN, changes, ours)
    assert store.names_of(DOMAIN) == {"shop": OTTER, "gone": OTTER, "kept": late, "new": late}
    store.write(DOMAIN, {"kept": None}, ours)
    assert "kept" not in store.names_of(DOMAIN)


def test_times_that_no_calendar_has_are_made_some(store: Store) -> None:
    store.write(DOMAIN, {"ns": SHOP._replace(seen_at=1_764_000_000 * 10**9)})
    store.write(DOMAIN, {"before": SHOP._replace(seen_at=-5)})
    for kept in store.names_of(DOMAIN).values():
        assert 1970 <= datetime.fromtimestamp(kept.seen_at, UTC).year <= 9999


def test_a_text_that_is_none_is_a_damaged_store(store: Store, path: Path) -> None:
    store.write(DOMAIN, {"shop": SHOP})
    store._connection.execute("UPDATE name SET owner = CAST(x'ff' AS TEXT)")
    with pytest.raises(StoreUnusableError, match="cannot be read"):
        first_read(store, DOMAIN)


def test_that_a_name_was_seen_is_written_of_its_owner_alone(store: Store) -> None:
    """A server that drains does not know to whom the next one has given it."""
    store.write(DOMAIN, {"shop": SHOP})
    store.write(DOMAIN, {"shop": Seen(SHOP.owner, 9), "never": Seen(SHOP.owner, 9)})
    assert store.names_of(DOMAIN) == {"shop": SHOP._replace(seen_at=9)}
    store.write(DOMAIN, {"shop": OTTER})
    store.write(DOMAIN, {"shop": Seen(SHOP.owner, 99)})
    assert store.names_of(DOMAIN) == {"shop": OTTER}


def test_what_somebody_put_into_write_ahead_mode_is_taken_out_of_it(
    store: Store, path: Path
) -> None:
    store.close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    with closing(open_store(path)) as again:
        assert again._connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


WRITE = """
import sys
from pathlib import Path
from tunnel_server.owners.names import Kept
from tunnel_server.owners.store import open_store
store = open_store(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    store.write("example.com", {f"n{number}": Kept("ann", True, 0)})
    print(number, flush=True)
    number += 1
"""


def test_what_was_told_as_written_outlives_a_kill(path: Path) -> None:
    told: list[int] = []
    for round_ in range(4):
        command = [sys.executable, "-c", WRITE, str(path), str(1_000_000 * round_)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            told.extend(int(child.stdout.readline()) for _ in range(20))  # it goes on meanwhile
            child.send_signal(signal.SIGKILL)
            told.extend(int(line) for line in child.stdout.read().splitlines())
        with closing(open_store(path)) as store:
            assert {f"n{number}" for number in told} <= store.names_of(DOMAIN).keys()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
