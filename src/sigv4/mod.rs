//! Signature Version 4, both directions: parsing, canonical request, verification, chunked bodies. Pure.
