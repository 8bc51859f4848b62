//! S3 as data: addressing, the table of operations, their permissions, errors and checksums. Pure.
