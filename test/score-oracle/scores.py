"""Scores by scikit-learn 1.2.1 of rows that a linear congruential generator makes; writes scores.json beside it.

Run: python3 scores.py (Debian: python3-sklearn). test/data/scores.test.ts reads the rows and the scores.
"""
import json
import os

import numpy as np
from sklearn.metrics import (average_precision_score, balanced_accuracy_score, brier_score_loss, f1_score, log_loss,
                             mean_absolute_error, mean_squared_error, r2_score, roc_auc_score)
from sklearn.preprocessing import label_binarize


def draws(count, seed):
    x, out = seed, []
    for _ in range(count):
        x = (x * 1664525 + 1013904223) % 2**32
        out.append(x / 2**32)
    return np.array(out)


def classes(rows, k, seed, steps):
    """Labels, and probabilities that are multiples of 1/steps before they are divided by their sum: with many ties."""
    labels = np.floor(draws(rows, seed) * k * 0.999).astype(int)
    raw = np.floor(draws(rows * k, seed + 1) * steps).reshape(rows, k) + 1
    raw[np.arange(rows), labels] += np.floor(draws(rows, seed + 2) * steps)
    return labels, (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


cases = {}


def show(name, values, **rows):
    cases[name] = {**{key: np.asarray(value).astype(float).ravel().tolist() for key, value in rows.items()},
                   'scores': {key: float(value) for key, value in values.items()}}


y, p = classes(97, 2, 5, 4)
answer = p.argmax(axis=1)
show('binary', dict(balancedAccuracy=balanced_accuracy_score(y, answer), macroF1=f1_score(y, answer, average='macro'),
                    rocAuc=roc_auc_score(y, p[:, 1]), averagePrecision=average_precision_score(y, p[:, 1]),
                    brier=brier_score_loss(y, p[:, 1].astype(float)), logLoss=log_loss(y, p.astype(float))), labels=y, outputs=p)

y, p = classes(131, 4, 11, 3)
answer, one = p.argmax(axis=1), label_binarize(y, classes=range(4))
show('four', dict(balancedAccuracy=balanced_accuracy_score(y, answer), macroF1=f1_score(y, answer, average='macro'),
                  rocAuc=roc_auc_score(one, p, average='macro'), averagePrecision=average_precision_score(one, p, average='macro'),
                  brier=((p.astype(float) - one) ** 2).sum(axis=1).mean(), logLoss=log_loss(y, p.astype(float))), labels=y, outputs=p)

y, p = classes(60, 3, 3, 5)
y = np.where(y == 2, 0, y)  # no row of class 2, which is predicted
answer = p.argmax(axis=1)
show('absent', dict(balancedAccuracy=balanced_accuracy_score(y, answer), macroF1=f1_score(y, answer, average='macro')), labels=y, outputs=p)

p = (np.floor(draws(80 * 3, 21) * 10) / 10).astype(np.float32).reshape(80, 3)
y = (draws(80 * 3, 22).reshape(80, 3) < 0.3 + 0.5 * p).astype(int)
show('labels', dict(exactMatch=((p > 0.5) == (y == 1)).all(axis=1).mean(), macroF1=f1_score(y, p > 0.5, average='macro'),
                    rocAuc=roc_auc_score(y, p, average='macro'), averagePrecision=average_precision_score(y, p, average='macro'),
                    brier=((p.astype(float) - y) ** 2).mean()), targets=y, outputs=p)

t, o = draws(50, 31) * 9 - 4, draws(50, 32) * 9 - 4
t, o = t.astype(np.float32).astype(float), o.astype(np.float32).astype(float)
show('regression', dict(rmse=mean_squared_error(t, o) ** 0.5, mae=mean_absolute_error(t, o), r2=r2_score(t, o)), targets=t, outputs=o)

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'scores.json'), 'w') as file:
    json.dump(cases, file)
    file.write('\n')
