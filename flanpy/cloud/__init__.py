"""Cloud routes: the provider's route tables as one more observed world.

Owns the clients of the providers' APIs (`aws`, `gce`, behind `port`) and the keeper of this host's route. In: what the
world asks for (`model.cloud.CloudWanted`). Out: a `CloudStatus`. What should stand is decided by `backend.cloud`. Must
not be imported unless a network's backend is `aws-vpc` or `gce`: the SDKs cost a host megabytes.
"""
