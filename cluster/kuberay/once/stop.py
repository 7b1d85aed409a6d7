"""Stop the jobs of this cluster and wait until they have ended. The preStop hook of the head."""

import os
import time

from ray.job_submission import JobSubmissionClient

TIMEOUT_S = 20.0
"""A run commits finished work within ten seconds."""

client = JobSubmissionClient(os.environ.get("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:8265"))
jobs = [job.submission_id for job in client.list_jobs() if job.submission_id and not job.status.is_terminal()]
for job in jobs:
    client.stop_job(job)
deadline = time.monotonic() + TIMEOUT_S
while time.monotonic() < deadline and not all(client.get_job_status(job).is_terminal() for job in jobs):
    time.sleep(0.2)
