# noisewalk with its bundled priors: docker build --tag noisewalk .
FROM python:3.12-slim
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt ".[fits,tiff]" \
    && useradd --create-home --uid 1000 noisewalk
USER 1000
WORKDIR /data
ENTRYPOINT ["noisewalk"]
CMD ["--help"]
