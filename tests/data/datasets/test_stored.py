import multiprocessing
import os
import sys
import warnings

import pytest
import torch
from torch_geometric.data import Data

from molspectra.data.datasets.stored import StoredDataset, check_count


class Lines(StoredDataset):
    """A molecule for each line of a file, the number of its atoms."""

    raw_file_names = ("lines.txt",)
    reads = 0

    def molecules(self):
        type(self).reads += 1
        with open(self.raw_paths[0]) as file:
            for number, line in enumerate(file, 1):
                try:
                    n = int(line)
                except ValueError as error:
                    self.broken(self.raw_paths[0], number, f"{error}.")
                    continue
                yield Data(z=torch.full((n,), 6), pos=torch.full((n, 3), float(number)))


class Downloaded(Lines):
    def download(self):
        with open(self.raw_paths[0], "w") as file:
            file.write("2\n3\n")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "lines.txt").write_text("2\n3\n4\n")
    return tmp_path


def test_molecules_are_read_once_and_then_served(root):
    Lines.reads = 0
    dataset = Lines(root)
    assert len(dataset) == 3
    assert [len(data.z) for data in dataset] == [2, 3, 4]
    assert [len(data.z) for data in dataset[1:]] == [3, 4]
    (root / "raw" / "lines.txt").unlink()  # no longer needed
    assert torch.equal(Lines(root)[-1].pos, torch.full((4, 3), 3.0))
    assert Lines.reads == 1


def test_files_that_are_there_are_not_downloaded_and_others_are(root, tmp_path):
    assert len(Downloaded(root)) == 3
    assert len(Downloaded(tmp_path / "elsewhere")) == 2


def test_files_that_cannot_be_had_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Lines needs \['.*raw/lines.txt'\].*by hand"):
        Lines(tmp_path)


def test_filter_and_transforms(root):
    def add_length(data):
        data.length = len(data.z)
        return data

    dataset = Lines(
        root,
        transform=lambda data: data.length,
        pre_transform=add_length,
        pre_filter=lambda data: len(data.z) != 3,  # sees the molecule before pre_transform
    )
    assert list(dataset) == [2, 4]
    assert dataset.get(0).length == 2


def test_another_pre_transform_than_the_stored_molecules_have_seen(root):
    def double(data):
        data.pos = 2 * data.pos
        return data

    Lines(root)
    with pytest.warns(UserWarning, match="`pre_transform` argument differs"):
        assert Lines(root, pre_transform=double)[0].pos[0, 0] == 1
    assert Lines(root, pre_transform=double, force_reload=True)[0].pos[0, 0] == 2


def test_a_broken_record_is_refused_and_nothing_looks_finished(root):
    (root / "raw" / "lines.txt").write_text("2\nthree\n4\n")
    with pytest.raises(ValueError, match=r"lines\.txt, record 2: invalid literal.*skip_broken=True"):
        Lines(root)
    assert not list((root / "processed").glob("**/index.json"))
    (root / "raw" / "lines.txt").write_text("2\n3\n4\n")
    assert len(Lines(root)) == 3


def test_broken_records_are_skipped_on_request_and_remembered(root):
    (root / "raw" / "lines.txt").write_text("2\nthree\n4\nfive\n")
    with pytest.warns(UserWarning, match=r"skipped 2 broken records.*lines\.txt, record 2") as caught:
        dataset = Lines(root, skip_broken=True)
    assert len(caught) == 1
    assert [len(data.z) for data in dataset] == [2, 4]
    assert [(file, record) for file, record, _ in dataset.skipped] == [("lines.txt", "2"), ("lines.txt", "4")]
    assert "three" in dataset.skipped[0].reason
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = Lines(root, skip_broken=True)
    assert again.skipped == dataset.skipped
    with pytest.warns(UserWarning, match="lacks 2 broken records"):
        Lines(root)


def test_no_molecule_at_all_is_refused(root):
    with pytest.raises(ValueError, match="No molecule of Lines is left"):
        Lines(root, pre_filter=lambda data: False)
    (root / "raw" / "lines.txt").write_text("")
    with pytest.raises(ValueError, match="No molecule of Lines is left: 0 records"):
        Lines(root)


def test_a_data_set_without_molecules_says_what_to_write(tmp_path):
    class Empty(StoredDataset):
        raw_file_names = ()

    with pytest.raises(NotImplementedError, match="Empty must implement molecules"):
        Empty(tmp_path)


def test_nothing_is_printed(root, capfd, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # PyG keeps quiet if it is set
    Lines(root)
    assert capfd.readouterr() == ("", "")


def test_it_works_without_tqdm(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert len(Lines(root)) == 3


class Killed(Lines):
    def molecules(self):
        yield from super().molecules()
        os._exit(9)  # no finally, no buffer is written


def test_a_killed_run_leaves_nothing_that_looks_finished(root):
    process = multiprocessing.get_context("fork").Process(target=Killed, args=(root,))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert len(Lines(root)) == 3


def _read(root, queue):
    queue.put(len(Counted(root)))


class Counted(Lines):
    def molecules(self):
        with open(os.path.join(self.root, "runs"), "a") as file:
            file.write("x")
        yield from super().molecules()


def test_of_several_processes_one_reads_the_files(root):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_read, args=(root, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [queue.get(timeout=60) for _ in processes] == [3, 3, 3]
    for process in processes:
        process.join()
    assert (root / "runs").read_text() == "x"


def test_another_number_of_molecules_than_published_is_refused():
    check_count("file", 5, None)
    check_count("file", 5, 5)
    with pytest.raises(ValueError, match="file: found 4 molecules; 5 were published"):
        check_count("file", 4, 5)
