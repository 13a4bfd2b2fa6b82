"""What a job's process does: get ready, call the function, answer, end."""

from __future__ import annotations

import os
import pickle
import sys

import cloudpickle


def main() -> None:
    """Read the work from standard input and write the answer to the file descriptor that the command line names."""
    answer = int(sys.argv[1])
    os.set_inheritable(answer, False)  # processes that the job leaves behind must not keep the answer open
    initializer, call = pickle.load(sys.stdin.buffer)
    try:
        pickle.loads(initializer)()
        function, argument = pickle.loads(call)
        data = cloudpickle.dumps((True, function(argument)))
    except BaseException as error:  # whatever it is, the sweeping process is to know
        data = cloudpickle.dumps((False, error))
    with open(answer, "wb") as file:
        file.write(data)


if __name__ == "__main__":
    main()
