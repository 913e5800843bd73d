# The README's first command in a container, on the CPU:
#   docker build -t mawm .
#   docker run --rm -it -v mawm-runs:/mawm/runs mawm
# Words after the image's name replace the command, such as: mawm python -m mawm.watch runs/3m_both_b0.05_s0
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

# The smaller CPU build of torch, in the version of the constraints. A layer of its own: it changes seldom.
WORKDIR /mawm
COPY constraints.txt ./
RUN pip install -c constraints.txt --index-url https://download.pytorch.org/whl/cpu --extra-index-url https://pypi.org/simple torch

COPY . .
RUN pip install -c constraints.txt -e .

# An ordinary user trains. It owns the folder of the runs, and the folders in which Numba keeps the compiled engine.
RUN useradd --create-home mawm && mkdir runs && chown -R mawm:mawm /mawm
USER mawm
VOLUME /mawm/runs

CMD ["python", "-m", "mawm.train", "--map", "3m", "--bandwidth", "0.05"]
