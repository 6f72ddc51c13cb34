"""Embedding as a part of scikit-learn's pipelines, against the embedding itself and by scikit-learn's own checks."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import molspectra as ms
from molspectra.sklearn import Embedding

SMILES = ["C", "CC", "CCC", "CCCC", "CCCCC", "CO", "CCO", "CCCO"]


@pytest.fixture
def encoder():
    return ms.encoders.PaiNN(16, 2, 8)


def test_transform_is_the_embedding(encoder):
    for settings in ({"pool": "mean+max"}, {"layers": [0, 1]}, {"hydrogens": False}):
        expected = ms.embed(encoder, SMILES, **settings).reshape(len(SMILES), -1)
        for molecules in (SMILES, np.array(SMILES), np.array(SMILES, dtype=object)[:, None]):
            actual = Embedding(encoder, **settings).fit_transform(molecules)
            np.testing.assert_array_equal(actual, expected)
        embedding = Embedding(encoder, **settings).fit(SMILES)
        np.testing.assert_array_equal(embedding.transform(SMILES), expected)
        assert len(embedding.get_feature_names_out()) == expected.shape[1]


def test_columns_of_a_table(encoder):
    import pandas

    table = pandas.DataFrame({"smiles": SMILES})
    expected = ms.embed(encoder, SMILES)
    np.testing.assert_array_equal(Embedding(encoder).fit_transform(table["smiles"]), expected)
    np.testing.assert_array_equal(Embedding(encoder).fit_transform(table[["smiles"]]), expected)
    named = Embedding(encoder).set_output(transform="pandas").fit_transform(table["smiles"])
    assert list(named.columns[:2]) == ["embedding0", "embedding1"]
    with pytest.raises(ValueError, match="one column of molecules; got 2"):
        Embedding(encoder).fit(table.assign(name=SMILES))


def test_grid_search_over_pools(encoder):
    pipeline = make_pipeline(Embedding(encoder), StandardScaler(), Ridge())
    grid = {"embedding__pool": ["sum", "mean"], "ridge__alpha": [0.1, 10.0]}
    num_heavy = [1, 2, 3, 4, 5, 2, 3, 4]
    folds = KFold(4, shuffle=True, random_state=0)
    search = GridSearchCV(pipeline, grid, scoring="neg_mean_absolute_error", cv=folds).fit(SMILES, num_heavy)
    assert search.best_params_["embedding__pool"] == "sum"  # which knows the number of atoms
    assert abs(search.predict(["CCCCCC"])[0] - 6) < 1


def test_an_estimator_is_cloned_and_pickled(encoder):
    embedding = Embedding(encoder, pool="mean").fit(SMILES)
    expected = embedding.transform(SMILES)
    np.testing.assert_array_equal(clone(embedding).fit(SMILES).transform(SMILES), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embedding)).transform(SMILES), expected)


def test_mistakes(encoder):
    with pytest.raises(ValueError, match=r"X must be a list of molecules; got the string 'CCO'. Write \['CCO'\]"):
        Embedding(encoder).fit("CCO")
    with pytest.raises(ValueError, match="C1CC: smiles must be a valid"):
        Embedding(encoder).fit_transform(["C", "C1CC"])
    with pytest.warns(UserWarning, match="1 of 2 molecules failed"):
        rows = Embedding(encoder, on_error="warn").fit_transform(["C", "C1CC"])
    assert np.isnan(rows).any(axis=1).tolist() == [False, True]


def test_doubtful_arguments():
    """The names of columns are no molecules, the first molecule may fail, and features are one row for each."""
    encoder = ms.encoders.PaiNN(8, 1)
    with pytest.raises(ValueError, match=r"got 2 columns, \['C', 'N'\]. Select one: X\['C'\]"):
        ms.sklearn.Embedding(encoder).fit({"C": ["CCO"], "N": ["O"]})
    with pytest.raises(ValueError, match="pool must give one row for each molecule; got None"):
        ms.sklearn.Embedding(encoder, pool=None).fit(["O"])
    tolerant = ms.sklearn.Embedding(encoder, on_error="warn").fit(["C1", "[Og]", "O"])
    assert tolerant.n_features_out_ == 8
    with pytest.raises(ValueError, match="C1"):
        ms.sklearn.Embedding(encoder).fit(["C1", "O"])
