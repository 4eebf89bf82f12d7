"""Kernels that answer what flows of several shares asked each other, by the tables that one process looks up as it goes."""

import numpy as np
from numpy.typing import NDArray

from auditor.flows.dns import answer_for, keep_answer
from auditor.flows.exchange import ANSWER, NAMING, RESUMING
from auditor.flows.state import AnswerRows, Counters, NamingRows, ResumingRows, Sessions
from auditor.machine.kernel import kernel
from auditor.machine.signature import NUMBERS, Layout
from auditor.tls.messages import resumes_known


@kernel(Layout(NAMING), Layout(ANSWER), NUMBERS, Layout(np.int32, 2))
def name_flows(namings: NamingRows, answers: AnswerRows, counters: Counters, found: NDArray[np.int32]) -> int:
    """Go over answers and questions in order: of each question the names of its two ends. How many rows there are.

    A name that another client was given is the number below 0.
    """
    for k in range(namings.size):
        row = namings[k]
        client_high, client_low, high, low = row.client_high, row.client_low, row.high, row.low
        time = np.int64(row.time)
        if row.asks == 0:
            life = np.int64(row.life)
            keep_answer(counters, answers, client_high, client_low, high, low, np.int64(row.name), time, life)
        else:
            name, is_shared = answer_for(counters, answers, client_high, client_low, high, low, time)
            found[k, 0] = -name if is_shared else name
            name, is_shared = answer_for(counters, answers, high, low, client_high, client_low, time)
            found[k, 1] = -name if is_shared else name
    return namings.size


@kernel(Layout(RESUMING), Layout(np.uint64, 2), Layout(np.uint8))
def find_originals(resumings: ResumingRows, sessions: Sessions, found: NDArray[np.uint8]) -> int:
    """Go over handshakes in order: whether each resumes a session that began in another one. How many there are."""
    for k in range(resumings.size):
        if resumes_known(sessions, resumings[k]):
            found[k] = 1
    return resumings.size
