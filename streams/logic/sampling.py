"""Which subjects are judged: the same ones in the live job, a retry, a replay and an audit."""

from hashlib import blake2b


def keep(project: str, trace_or_subject: str, rate: float) -> bool:
    """Tells whether a subject is in the sample.

    The first 53 bits of blake2b(project, trace id, else subject id) / 2^53 are compared with the rate, so all subjects of a trace share
    their fate and the sample of a lower rate is a part of the sample of a higher one.
    """
    if rate >= 1:
        return True
    digest = blake2b(digest_size=8)
    for part in (project, trace_or_subject):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return (int.from_bytes(digest.digest(), "big") >> 11) / (1 << 53) < rate
