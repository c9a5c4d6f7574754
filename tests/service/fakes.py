"""Stand-ins: servers that answer, in a process of their own, and a job server's client in memory."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

from distlandscape.service.processes import free_port
from distlandscape.service.programs import Program, answers

SERVER = """
import http.server, subprocess, sys
host, port, children = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for _ in range(children):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *arguments):
        pass
http.server.HTTPServer((host, port), Answer).serve_forever()
"""


def server(host="127.0.0.1", children=0, code=SERVER):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-S", "-c", code, host, str(port), str(children)]
    return Program(command, {}, address, lambda: answers(address, {}))


def programs(**changes):
    """What ``up`` starts, faked; ``ray`` has a child in a session of its own, as a raylet's workers have."""
    return lambda state, temp: {"ray": server(children=1), "mlflow": server(), **changes}


class FakeClient:
    """Behaves as ray.job_submission.JobSubmissionClient does, errors included."""

    def __init__(self):
        self.jobs = {}
        self.sent = {}

    def submit_job(self, *, entrypoint, submission_id, runtime_env, metadata):
        if submission_id in self.jobs:
            raise RuntimeError("Request failed with status code 500: a job with that id exists")
        folder = runtime_env.get("working_dir")
        self.sent[submission_id] = SimpleNamespace(
            entrypoint=entrypoint, files={} if folder is None else _files(folder), metadata=metadata
        )
        self.jobs[submission_id] = details(submission_id, "RUNNING", metadata=metadata)
        return submission_id

    def list_jobs(self):
        return list(self.jobs.values())

    def get_job_info(self, job_id):
        if job_id not in self.jobs:
            raise RuntimeError(f"Request failed with status code 404: Job {job_id} does not exist.")
        return self.jobs[job_id]

    def get_job_logs(self, job_id):
        return "first\nsecond\n"

    async def tail_job_logs(self, job_id):
        yield "first\n"
        self.jobs[job_id] = details(job_id, "FAILED", driver_exit_code=3)
        yield "second\n"

    def stop_job(self, job_id):
        self.jobs[job_id] = details(job_id, "STOPPED", metadata=self.jobs[job_id].metadata)
        return True


def details(job_id, status, driver_exit_code=None, metadata=None, start_time=1_700_000_000_000):
    return SimpleNamespace(
        submission_id=job_id,
        status=SimpleNamespace(value=status),
        driver_exit_code=driver_exit_code,
        message=None,
        metadata=metadata,
        start_time=start_time,
        end_time=None,
    )


def _files(folder):
    return {path.name: path.read_text() for path in Path(folder).iterdir()}
