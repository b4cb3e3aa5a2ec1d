"""hf-mem's command line with its HTTP client led to `HF_ENDPOINT`; runs in hf-mem's environment, not in ours."""

import os
import warnings
from urllib.parse import urlsplit

import httpx2

HERE = urlsplit(os.environ["HF_ENDPOINT"])


class Local(httpx2.AsyncHTTPTransport):
    async def handle_async_request(self, request):
        request.url = request.url.copy_with(scheme=HERE.scheme, host=HERE.hostname, port=HERE.port)
        return await super().handle_async_request(request)


class Client(httpx2.AsyncClient):
    def __init__(self, *, http2=False, **options):
        super().__init__(transport=Local(), **options)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    httpx2.AsyncClient = Client
    from hf_mem.cli import main

    main()
