// Unfinished uploads, in this browser's IndexedDB, so that a reload loses nothing.
// A record is { id, name, size, modified, url, job, file }; `file` is null where it was
// too large to keep a copy of, and the person must choose it again.
const LARGEST_COPY = 500_000_000;

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("framemill", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("uploads", { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function inStore(mode, act) {
  const database = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction("uploads", mode);
      const request = act(transaction.objectStore("uploads"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

export const kept = () => inStore("readonly", (store) => store.getAll());
export const drop = (id) => inStore("readwrite", (store) => store.delete(id));

export async function keep(record) {
  const file = record.file && record.file.size <= LARGEST_COPY ? record.file : null;
  try {
    await inStore("readwrite", (store) => store.put({ ...record, file }));
  } catch (error) {
    // The disk is full, or the browser is in a private mode: keep what needs no room.
    if (file === null) throw error;
    await inStore("readwrite", (store) => store.put({ ...record, file: null }));
  }
}

export const isSame = (record, file) =>
  record.name === file.name && record.size === file.size && record.modified === file.lastModified;
