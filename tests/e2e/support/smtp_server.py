"""A real SMTP server for the tests: aiosmtpd, with a few recipients that behave badly.

Prints {"port": N} once it listens, then one JSON line for each mail it accepts.
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self):
        self.busy = {}

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "unknown":
            return "550 5.1.1 no such user here"
        if name == "busy":
            self.busy[address] = self.busy.get(address, 0) + 1
            if self.busy[address] == 1:
                return "451 4.3.0 mailbox is busy, come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = lambda kind: next((p.get_content() for p in mail.walk() if p.get_content_type() == kind), None)
        print(json.dumps({
            "to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in mail.items()],
            "parts": [p.get_content_type() for p in mail.walk()],
            "text": part("text/plain"),
            "html": part("text/html"),
            "files": [[p.get_filename(), p.get_content()] for p in mail.iter_attachments()],
            "secure": session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None,
        }), flush=True)
        return "250 OK"


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--size", type=int, default=10_000_000)
    options.add_argument("--login", help="user:password that clients must present")
    options.add_argument("--tls", choices=["starttls", "implicit"])
    options.add_argument("--certificate", help="PEM file with certificate and key")
    options = options.parse_args()

    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)

    def authenticate(server, session, envelope, mechanism, data):
        good = f"{data.login.decode()}:{data.password.decode()}" == options.login
        return AuthResult(success=good, handled=False)

    settings = dict(data_size_limit=options.size, hostname="localhost", enable_SMTPUTF8=False)
    if options.login:
        settings.update(auth_required=True, auth_require_tls=False, authenticator=authenticate)
    if options.tls == "starttls":
        settings.update(tls_context=context, require_starttls=True)

    asyncio.run(serve(Handler(), settings, context if options.tls == "implicit" else None))


async def serve(handler, settings, context):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, **settings), "127.0.0.1", 0, ssl=context)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    # The test's end closes our input.
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    main()
