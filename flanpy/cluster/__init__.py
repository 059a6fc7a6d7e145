"""A cluster around the embedded store: who is a member, and how a host becomes one.

Owns the tokens, the records of members, the authority's certificates, and the talk between a host that joins and the
store's host. Must not know etcd: the records are texts of keys, which others read and write.

    token        what an operator carries from one host to the next
    records      members and tokens as the store keeps them; who is let in
    authority    keys, certificates, signatures, by openssl
    talk         one question and one answer over TLS
"""
