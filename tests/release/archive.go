package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"time"
)

// entry is a file in an archive.
type entry struct {
	name    string
	mode    int64
	content []byte
}

// archive packs files into a folder of that name: in their order, owned by nobody
// in particular, all of one time.
func archive(at time.Time, folder string, entries []entry) ([]byte, error) {
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	pack := tar.NewWriter(zip)
	for _, e := range entries {
		header := &tar.Header{Name: folder + "/" + e.name, Mode: e.mode, Size: int64(len(e.content)), ModTime: at, Format: tar.FormatUSTAR}
		if err := pack.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := pack.Write(e.content); err != nil {
			return nil, err
		}
	}
	err = errors.Join(pack.Close(), zip.Close())
	return out.Bytes(), err
}
