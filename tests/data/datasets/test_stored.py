import copy
import functools
import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
import warnings

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import Compose

from molspectra.data import GEOM, MD17, QM9, QM9S, QM9SP, MultimodalSpectra, PCQM4Mv2, StoredDataset
from molspectra.data.datasets.stored import check_count


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
    with pytest.warns(UserWarning, match=r"stored with pre_transform=None; it is now .*double"):
        assert Lines(root, pre_transform=double)[0].pos[0, 0] == 1
    assert Lines(root, pre_transform=double, force_reload=True)[0].pos[0, 0] == 2


def scale(data, by=2.0):
    data.pos = by * data.pos
    return data


class Scale:
    def __init__(self, by):
        self.by = by

    def __call__(self, data):
        return scale(data, self.by)

    def __repr__(self):
        return f"Scale({self.by})"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (scale, Scale(2.0)),
        (functools.partial(scale, by=2.0), functools.partial(scale, by=3.0)),
        (Scale(2.0), Scale(3.0)),
        (Compose([Scale(2.0)]), Compose([Scale(3.0)])),
    ],
    ids=["function", "partial", "object", "Compose"],
)
def test_functions_are_told_apart_by_name_and_parameters(root, one, other):
    Lines(root, pre_transform=one)
    Lines(root, pre_transform=copy.deepcopy(one))  # without a warning
    with pytest.warns(UserWarning, match="were stored with pre_transform="):
        Lines(root, pre_transform=other)


def test_a_function_is_the_same_in_another_process():
    code = "import functools, json; from molspectra.data.datasets.description import describe\n"
    code += "for function in (json.dumps, json.JSONEncoder(), functools.partial(json.dumps, indent=3)):\n"
    code += "    print(describe(function))"
    run = [sys.executable, "-W", "ignore", "-c", code]
    texts = {subprocess.run(run, capture_output=True, check=True, text=True).stdout for _ in "ab"}
    assert texts == {
        "json.dumps\n<json.encoder.JSONEncoder object>\nfunctools.partial(<function dumps>, indent=3)\n",
    }


def test_a_store_of_an_earlier_version_is_not_suspected(root):
    """It has fingerprints of functions, which meant something else in each version of Python."""
    Lines(root)
    (root / "processed" / "described_functions.json").unlink()
    (root / "processed" / "functions.json").write_text('{"pre_transform": "None", "pre_filter": "None"}')
    Lines(root, pre_transform=scale)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("name", ["pre_transform.pt", "pre_filter.pt"])
def test_nothing_is_unpickled(root, monkeypatch, name):
    monkeypatch.chdir(root)
    Lines(root)
    torch.save(Evil(), root / "processed" / name)
    Lines(root)
    assert not (root / "executed").exists()


def test_a_store_that_is_written_again_is_not_mixed_up(root):
    """With those that were opened before."""
    old, opened = Lines(root), Lines(root)
    opened[0]
    Lines(root, pre_filter=lambda data: len(data.z) > 2, force_reload=True)
    with pytest.raises(ValueError, match="has been written again since it was opened"):
        old[0]
    with pytest.raises(ValueError, match="has been written again since it was opened"):
        pickle.loads(pickle.dumps(opened))[0]
    assert len(opened[0].z) == 2


def test_what_a_killed_process_has_left_is_removed(root):
    (root / "processed" / "molecules.123.part").mkdir(parents=True)
    Lines(root)
    assert not list((root / "processed").glob("*.part"))


def test_a_relative_root_stays_where_it_is(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    dataset = Lines(root.name)
    monkeypatch.chdir("/")
    assert len(dataset[0].z) == 2


def test_where_all_records_are_broken_the_first_is_named(root):
    (root / "raw" / "lines.txt").write_text("two\n")
    with pytest.raises(ValueError, match="1 records were broken .the first: 1, invalid literal"):
        Lines(root, skip_broken=True)


class SlowlyDownloaded(Downloaded):
    def download(self):
        with open(os.path.join(self.root, "downloads"), "a") as file:
            file.write("x")
        time.sleep(0.3)
        super().download()


def test_one_of_several_processes_downloads(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=SlowlyDownloaded, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "downloads").read_text() == "x"


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


class Buggy(Lines):
    def molecules(self):
        for data in super().molecules():
            try:
                data.pos.no_such_method()
            except ValueError as error:
                self.broken(self.raw_paths[0], 1, error)
            yield data


def test_a_bug_is_no_broken_record(root):
    with pytest.raises(AttributeError, match="no_such_method"):
        Buggy(root, skip_broken=True)
    for error in (TypeError, AttributeError, RuntimeError):

        def wrong(data, error=error):
            raise error("a wrong transform")

        with pytest.raises(error, match="a wrong transform"):
            Lines(root, pre_transform=wrong, skip_broken=True)
        with pytest.raises(error, match="a wrong transform"):
            Lines(root, pre_filter=wrong, skip_broken=True)


@pytest.mark.parametrize("dataset", [GEOM, MD17, QM9, QM9S, QM9SP, MultimodalSpectra, PCQM4Mv2, StoredDataset])
def test_constructors_agree(dataset):
    """Root, perhaps which part of the data, then PyG's functions; all others by name."""
    parameters = inspect.signature(dataset).parameters
    positional = [name for name, p in parameters.items() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert positional[0] == "root"
    assert positional[-3:] == ["transform", "pre_transform", "pre_filter"]
    assert positional[1:-3] in ([], ["name"], ["subset"])
    assert list(parameters)[-2:] == ["force_reload", "skip_broken"]


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
