//! To the storage behind us: what crosses, the new signature, the connection pool.
