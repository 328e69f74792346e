"""Every error of the project, in one tree. Those of one module alone are defined there.

    TunnelError
      ProtocolError         the rules of the wire were broken; `code` is for programs
        LocalProtocolError    this program broke them: a bug here
        RemoteProtocolError   the other end did
        HttpError             a visitor or an app did, in HTTP
          NoHttpError           what came is no HTTP at all
      OptionError           a claim asks for an option that the server must refuse
      ProxyProtocolError    a proxy's connection begins with no PROXY header
      ConfigError           a flag, a variable or a file has a value that is not allowed
      ListenError           the server cannot listen where it should
      PlaceError            no socket can be had in the state folder
      HandoverError         the sockets cannot go from one server to the next
      UnsafePathError       others may write a file that is believed
      StoreUnusableError    there is a store, and it may not be used
      StoreNotMadeError     there is none, and none can be made
      TokenRefusedError     the tokens in the store are not such that a change can be made
      NotDoneError          a command of whoever runs the server could not be done
      StreamReset           a half of a stream ended badly
      StreamStopped         the peer wants no more of a half
      SessionClosed         the session under a stream is gone
      TransportClosed       the connection under a session is gone
      HandshakeRefused      the server refused the session, for good
      ConnectFailed         the server could not be reached this time
      InspectorPlaceError   the inspector cannot listen where it should
      ApiError              what a page or a program asks of the inspector cannot be answered
      BodyRefused           the body of such a request is too long
      FilterError           a filter of the inspector's list is wrong
      ReplayRefused         a captured request cannot be sent again
      HarError              an entry of a HAR says what cannot be
      ReleaseFailed         a name that was to be given up is what it was
      VisitorGone           the visitor's connection broke
      ReadStopped           a read over TLS ends for what is to be said first
      ReadRefused           TLS would read where a close_notify alone is to leave
      OriginClosed          the app's connection broke
      OriginRefused         the app cannot be reached
        OriginDown            nobody listens where it should
        PortsGone             this machine has none left for a connection to it
        OriginCertificateRefused  its certificate is not trusted

`...Error` is what somebody did wrong; a name without it is what a thing has become. Local and
remote are told apart by type, so that a bug of ours never reads as a bad peer.
"""

from __future__ import annotations


class TunnelError(Exception):
    """The root of all that this project raises on purpose."""


class ProtocolError(TunnelError):
    """The rules were broken.

    Attributes:
        code: a short word for programs, from docs/protocol.md or the list of error answers.
    """

    code = "protocol-error"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class LocalProtocolError(ProtocolError):
    """This program asked for something that the protocol does not allow now."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that the protocol does not allow."""


class HttpError(ProtocolError):
    """A head, target or body that breaks HTTP/1.1 or a limit of ours.

    `code` is one of the codes of the error answers (docs/limits.md), such as `bad-request`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code)


class NoHttpError(HttpError):
    """The bytes that came do not even begin like an answer; the buffer still has them."""


class StreamReset(TunnelError):
    """The half that was being read ended badly: what came before it is not the whole."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message


class StreamStopped(TunnelError):
    """The peer wants no more of the half that was being written."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SessionClosed(TunnelError):
    """The session is gone, and every stream with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class HandshakeRefused(TunnelError):
    """The server refused for good: trying again would change nothing."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ConfigError(TunnelError):
    """A setting that cannot be used. The program ends with exit code 2.

    As text it is one line, `KEY: MESSAGE`, that holds no secret.

    Attributes:
        key: the setting as the person gave it: `--server`, `TUNNEL_TOKEN`, `client.toml:3: server`;
            "" where it is about the words of the command line.
        message: what is allowed there.
        beside: the flag of the other setting, where two do not fit together; the message has it
            behind a space. If the one of `key` is missing, `beside` is the one that needs it.
    """

    def __init__(self, key: str, message: str, beside: str = "") -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key
        self.message = message
        self.beside = beside
