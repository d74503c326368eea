"""Runs schemathesis against a server, once as a user of each role, and counts: rest.py WORK BASE [--long]."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ROLES = ["CUSTOMER", "AGENT", "ADMIN"]
PASSWORD = "correct horse"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0"
BOUNDARY = "fuzz-5f0c"
# Enough of each, since what is called closes, leaves and reads them.
CONVERSATIONS, FILES = 12, 4

# So many calls there must be in all, and so many tries an operation gets for that.
SHORT, LONG = (5_000, 60), (50_000, 800)

# What is closed is still there to be read, and a conversation that one makes and leaves is not.
UNSUITED = "use_after_free,ensure_resource_availability"
# Statuses for calls that are right by the description's letter: those that say so, and that a thing is not there.
TAKEN = ["2xx", "304", "401", "403", "404", "409"]
# Some operations refuse, and are described to refuse, what no schema can tell from what is right.
REFUSED = {
    "createConversation": [400],  # A participant who is not there, or a DIRECT of other than two.
    "leaveConversation": [400],  # A DIRECT.
    "addParticipants": [400],  # The same, or a user who is not there.
    "removeParticipant": [400],  # The same.
    "listConversations": [400],  # A cursor that was never given out.
    "listUsers": [400],  # The same.
    "listInbox": [400],  # The same.
    "listMessages": [400],  # More than one of `page`, `before` and `after`.
    "sendMessage": [400],  # A file that is none of the sender's, more bytes than characters.
    "markRead": [400],  # A message that is not there.
    "register": [400],  # More bytes than characters.
    "login": [400],  # The same.
    "changePassword": [400],  # The same.
    "visit": [400],  # The same.
    "listAgents": [400],  # The same.
    "uploadFile": [400, 415],  # Bytes of a type that is not taken, names of fields that no browser would send.
    "downloadFile": [416],  # A part that the file does not have.
    "downloadUpload": [416],
}
# What may sign out those who call: called by itself at the end, and not of the one who calls.
ALONE = "updateUser"
# What refuses what is wrong by the letter. In a form nothing has a type: what is no text there is text all the same.
REFUSALS = [400, 401, 403, 404, 405, 406, 409, 413, 415]
ACCEPTED = {"uploadFile": [200]}
# Where a call names something that may be there, and of which kind.
NAMED = {
    "path.conversationId": "conversations",
    "path.userId": "users",
    "path.filename": "names",
    "header.Range": "ranges",
    "body.conversationId": "conversations",
    "body.participantIds[*]": "users",
    "body.userIds[*]": "users",
    "body.messageIds[*]": "messages",
    "body.fileId": "files",
    "body.fileUrl": "urls",
}


class Server:
    """What the scene is set on."""

    def __init__(self, base):
        self.base = base

    def call(self, method, path, body=None, token=None, media="application/json"):
        """The answer to a call that must succeed."""
        if media == "application/json" and body is not None:
            body = json.dumps(body).encode()
        headers = {"content-type": media} if body else {}
        if token:
            headers["authorization"] = f"Bearer {token}"
        request = Request(self.base + path, data=body, headers=headers, method=method)
        try:
            with urlopen(request, timeout=10) as answer:
                return answer.read()
        except HTTPError as refused:
            sys.exit(f"{method} {path}: {refused.code} {refused.read().decode()}")

    def json(self, *arguments):
        return json.loads(self.call(*arguments))

    def register(self, name, role="CUSTOMER"):
        account = {"email": f"{name}@example.com", "username": name, "password": PASSWORD, "role": role}
        made = self.json("POST", "/api/auth/register", account)
        return made["user"]["id"], made["tokens"]["accessToken"]

    def upload(self, token):
        head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        body = head.encode() + PNG + f"\r\n--{BOUNDARY}--\r\n".encode()
        return self.json("POST", "/api/upload", body, token, f"multipart/form-data; boundary={BOUNDARY}")["file"]

    def server_errors(self):
        """How many requests it has answered with a server error, by its own count."""
        lines = self.call("GET", "/metrics").decode().splitlines()
        counts = [line for line in lines if line.startswith("priyo_http_requests_total{") and 'status="5xx"' in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in counts)


def scene(server, role, seed):
    """A user of this role who has something of everything: their e-mail, and what there is, by its kind."""
    me, other = f"{role.lower()}-{seed}", f"friend-{seed}-{ROLES.index(role)}"
    people = [server.register(me, role), server.register(other)]
    known = {kind: [] for kind in ["conversations", "messages", "files", "names", "urls"]}
    known["users"] = [id for id, _ in people]
    for number in range(CONVERSATIONS):
        body = {"participantIds": known["users"], "type": "GROUP" if number else "DIRECT"}
        made = server.json("POST", "/api/conversations", body, people[number % 2][1])
        known["conversations"].append(made["conversation"]["id"])
        for _, token in people:
            said = {"conversationId": known["conversations"][-1], "content": "hello"}
            known["messages"].append(server.json("POST", "/api/messages", said, token)["data"]["id"])
    for number in range(FILES):
        token = people[number % 2][1]
        file = server.upload(token)
        for kind, field in [("files", "id"), ("names", "filename"), ("urls", "url")]:
            known[kind].append(file[field])
        # Some are carried by a message, and some are their uploader's alone.
        if number < FILES // 2:
            said = {"conversationId": known["conversations"][number], "type": "IMAGE", "fileId": file["id"]}
            server.json("POST", "/api/messages", said, token)
    known["ranges"] = ["bytes=0-3", "bytes=-1", "bytes=3-", "bytes=9999-"]
    return f"{me}@example.com", known


def settings(email, known, report):
    """What schemathesis reads: TOML, of which texts and lists in JSON are a part."""
    lines = [
        # Some calls end the session: it signs in again when it is told that it is signed in no more.
        "[auth.dynamic.openapi.bearer]",
        'path = "/api/auth/login"',
        f"payload = {{ email = {json.dumps(email)}, password = {json.dumps(PASSWORD)} }}",
        'extract_selector = "/tokens/accessToken"',
        f"[reports.json]\npath = {json.dumps(str(report))}",
        "[checks]",
        f"positive_data_acceptance.expected-statuses = {json.dumps(TAKEN)}",
        "[parameters]",
    ]
    lines += [f'"{place}" = {{ dictionary = "{kind}", probability = 0.6 }}' for place, kind in NAMED.items()]
    lines += [f"[dictionaries.{kind}]\nvalues = {json.dumps(values)}" for kind, values in known.items()]
    for operation, statuses in REFUSED.items():
        lines += [f'[[operations]]\ninclude-operation-id = "{operation}"']
        lines += [f"checks.positive_data_acceptance.expected-statuses = {json.dumps(TAKEN + statuses)}"]
        if operation in ACCEPTED:
            refusals = json.dumps(REFUSALS + ACCEPTED[operation])
            lines += [f"checks.negative_data_rejection.expected-statuses = {refusals}"]
    return "\n".join(lines) + "\n"


class Run:
    """One run of schemathesis, as one person."""

    def __init__(self, folder, document, server, person, seed, tries, only=None):
        folder.mkdir(exist_ok=True)
        self.report, self.output = folder / "report.json", folder / "output"
        self.report.unlink(missing_ok=True)
        email, known = person
        (folder / "settings.toml").write_text(settings(email, known, self.report))
        command = [Path(sys.executable).parent / "st", "--config-file", "settings.toml", "run", document]
        command += ["--url", server.base, "--phases", "examples,coverage,fuzzing,stateful"]
        command += ["--checks", "all", "--exclude-checks", UNSUITED]
        # One worker: what Hypothesis keeps is not for more than one thread of Python 3.11.
        command += ["--seed", str(seed), "--max-examples", str(tries), "--workers", "1", "--no-color"]
        command += ["--generation-database", "none"]
        command += ["--include-operation-id", only] if only else ["--exclude-operation-id", ALONE]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)

    def end(self):
        """How many calls it made, and whether it found nothing."""
        code = self.process.wait()
        report = json.loads(self.report.read_text()) if self.report.exists() else {"test_cases": {"generated": 0}}
        return report["test_cases"]["generated"], code == 0 and not report["errors"]


def spoiled(document, work):
    """The same description, which says of one operation that it never answers what it does."""
    del document["paths"]["/api/auth/me"]["get"]["responses"]["200"]
    path = work / "spoiled.json"
    path.write_text(json.dumps(document))
    return path


def main(work, base, long):
    seed = int(os.environ.get("PRIYO_SEED") or random.getrandbits(32)) & 0xFFFF_FFFF
    print(f"PRIYO_SEED={seed}", flush=True)
    server = Server(base)
    wanted, tries = LONG if long else SHORT
    document = f"{base}/api/openapi.json"
    people = {role: scene(server, role, seed) for role in ROLES}
    runs = {role: Run(work / role.lower(), document, server, people[role], seed, tries) for role in ROLES}
    calls, good = 0, True
    for role, run in runs.items():
        made, clean = run.end()
        print(f"{role}: {made} calls, {'nothing found' if clean else 'FAILED'}", flush=True)
        if not clean:
            print(run.output.read_text())
        calls, good = calls + made, good and clean
    email, known = people["ADMIN"]
    others = email, known | {"users": known["users"][1:]}
    made, clean = Run(work / "alone", document, server, others, seed, tries, ALONE).end()
    print(f"ADMIN, {ALONE}: {made} calls, {'nothing found' if clean else 'FAILED'}", flush=True)
    if not clean:
        print((work / "alone" / "output").read_text())
    calls, good = calls + made, good and clean
    errors = server.server_errors()
    print(f"{calls} calls, {errors:.0f} server errors")
    # The control: what is not described is found.
    path = spoiled(server.json("GET", "/api/openapi.json"), work)
    control = Run(work / "control", path, server, people["CUSTOMER"], seed, 5, "me")
    _, clean = control.end()
    if clean or "Undocumented status code" not in control.output.read_text():
        sys.exit("an answer that is not described was passed over: the runs prove nothing")
    sys.exit(0 if good and calls >= wanted and errors == 0 else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].rstrip("/"), "--long" in sys.argv[3:])
