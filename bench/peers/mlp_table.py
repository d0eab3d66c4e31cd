"""scikit-learn's MLP with its defaults on one table, as scripts/tables.mjs --peer asks for it.

Usage: mlp_table.py TRAIN.csv TEST.csv: the target is the last column, classes unless every value is a number with more than
twenty different ones. Numbers: median and an indicator for empty fields, standardised; text: one-hot, empty fields a category of
their own; targets of regression standardised. Waits for a random_state on each line of stdin, and prints one JSON object for it:
seconds of fit alone, and the score on the test file (accuracy or R2).
"""

import json
import sys
import time
import warnings

import numpy
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import csv


def read(path):
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    return rows[0], rows[1:]


def numbers_of(column):
    """Floats of a column, NaN for empty fields, or None where a field is text."""
    try:
        return [float(field) if field != "" else float("nan") for field in column]
    except ValueError:
        return None


names, train = read(sys.argv[1])
_, test = read(sys.argv[2])
features, target = range(len(names) - 1), len(names) - 1
numeric = [k for k in features if numbers_of([row[k] for row in train + test]) is not None]
textual = [k for k in features if k not in numeric]
targets = numbers_of([row[target] for row in train])
is_regression = targets is not None and len(set(targets)) > 20


def table(rows):
    columns = [numbers_of([row[k] for row in rows]) if k in numeric else [row[k] for row in rows] for k in features]
    array = numpy.empty((len(rows), len(columns)), dtype=object)
    for k, column in enumerate(columns):
        array[:, k] = column
    return array


prepare = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numeric),
        ("texts", OneHotEncoder(handle_unknown="ignore"), textual),
    ],
    sparse_threshold=0,
)
x = prepare.fit_transform(table(train)).astype(numpy.float64)
xt = prepare.transform(table(test)).astype(numpy.float64)
y, yt = ([float(row[target]) if is_regression else row[target] for row in rows] for rows in (train, test))
warnings.filterwarnings("ignore")  # the limit of 200 epochs
print(json.dumps({"rows": len(train), "features": x.shape[1]}), flush=True)
for line in sys.stdin:
    seed = int(line)
    model = (
        TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler())
        if is_regression
        else MLPClassifier(random_state=seed)
    )
    start = time.perf_counter()
    model.fit(x, y)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "score": model.score(xt, yt)}), flush=True)
