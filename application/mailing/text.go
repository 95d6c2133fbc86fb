package mailing

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"sync"
	texttemplate "text/template"
	"time"

	"gatehouse/domain/mail"
)

// What mails say stands in templates/: en.txt and ko.txt hold a piece for each
// kind of letter, whose first line is the subject and whose paragraphs are the
// text; {{.Link}} alone in a paragraph is the link. mail.txt and mail.html put
// greeting, paragraphs and footer together. Change the wording there; a test
// renders every kind in every language.
//
//go:embed templates/*
var files embed.FS

// view is what the templates see.
type view struct {
	Site   string
	Name   string
	Link   string
	At     string // when it happened, as people write it; "" where that is not told
	Detail map[string]string
}

// page is what the layouts see.
type page struct {
	view
	Language   mail.Language
	Subject    string
	Paragraphs []paragraph
}

// paragraph is a piece of the text, or the link.
type paragraph struct {
	Text string
	Link string
}

type layouts struct {
	words map[mail.Language]*texttemplate.Template
	text  *texttemplate.Template
	html  *htmltemplate.Template
}

var templates = sync.OnceValues(func() (layouts, error) {
	l := layouts{words: map[mail.Language]*texttemplate.Template{}}
	var errs [4]error
	for i, language := range []mail.Language{mail.English, mail.Korean} {
		l.words[language], errs[i] = texttemplate.New("").Option("missingkey=zero").ParseFS(files, "templates/"+string(language)+".txt")
	}
	l.text, errs[2] = texttemplate.ParseFS(files, "templates/mail.txt")
	l.html, errs[3] = htmltemplate.ParseFS(files, "templates/mail.html")
	return l, errors.Join(errs[:]...)
})

// render makes subject, text and HTML of a letter. What people call themselves
// or their devices stands in both as it is: HTML escapes it, and line breaks it
// cannot hold.
func render(language mail.Language, k mail.Kind, v view) (subject, text, html string, err error) {
	l, err := templates()
	if err != nil {
		return "", "", "", fmt.Errorf("mailing: %w", err)
	}
	words, ok := l.words[language]
	if !ok {
		words = l.words[mail.English]
	}
	var b bytes.Buffer
	if err := words.ExecuteTemplate(&b, k.String(), v); err != nil {
		return "", "", "", fmt.Errorf("mailing: %w", err)
	}
	p := lay(b.String(), language, v)
	var t, h bytes.Buffer
	if err := errors.Join(l.text.ExecuteTemplate(&t, "mail.txt", p), l.html.ExecuteTemplate(&h, "mail.html", p)); err != nil {
		return "", "", "", fmt.Errorf("mailing: %w", err)
	}
	return p.Subject, t.String(), h.String(), nil
}

// korea has had no summer time since 1988.
var korea = time.FixedZone("KST", 9*60*60)

// moment writes down a time of RFC 3339 as people read it. Where a reader lives
// is not known: in Korean it is Korean time, else UTC, and it says which.
func moment(language mail.Language, at string) string {
	t, err := time.Parse(time.RFC3339, at)
	switch {
	case err != nil:
		return ""
	case language == mail.Korean:
		return t.In(korea).Format("2006년 1월 2일 15:04(한국 시간)")
	}
	return t.UTC().Format("2 January 2006, 15:04 UTC")
}

// lay parts what a piece says into subject and paragraphs.
func lay(words string, language mail.Language, v view) page {
	subject, rest, _ := strings.Cut(strings.TrimSpace(words), "\n")
	p := page{view: v, Language: language, Subject: strings.TrimSpace(subject)}
	for block := range strings.SplitSeq(rest, "\n\n") {
		block = strings.Join(strings.Fields(block), " ")
		switch {
		case block == "":
		case block == v.Link:
			p.Paragraphs = append(p.Paragraphs, paragraph{Link: v.Link})
		default:
			p.Paragraphs = append(p.Paragraphs, paragraph{Text: block})
		}
	}
	return p
}
