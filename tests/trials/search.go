package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse/domain/product"
	"gatehouse/domain/user"
	"gatehouse/domain/uuid"
)

// catalogue is how many products there are to search.
const catalogue = 100_000

// searching is scenario 19: texts that mean something to LIKE, or to nobody, over
// a large table, and what else may have to look at all of it: pages far behind,
// in every order, and totals.
func searching(a *trial) error {
	n, err := a.node(noThrottles...)
	if err != nil {
		return err
	}
	defer a.rest(n)
	cookie, err := n.signUp("ann@example.com")
	if err != nil {
		return err
	}
	g := newGoods(catalogue)
	if err := a.stock(g); err != nil {
		return err
	}
	size, err := a.number(`SELECT pg_relation_size('products_search_idx')`)
	if err != nil {
		return err
	}
	fmt.Printf("    %d products, %d of them published; the index for searches has %d MiB\n", catalogue, len(g.published("")), size>>20)
	for _, text := range texts() {
		if err := a.search(n, g, cookie, text); err != nil {
			return err
		}
	}
	long, err := n.dial()
	if err != nil {
		return err
	}
	defer long.close()
	r, err := long.send("GET", "/products?q="+strings.Repeat("%25", 3_000), "")
	if err != nil {
		return err
	}
	a.row(r.status == 422 && r.took <= bearable, "a text of 3,000 characters", "422", fmt.Sprintf("%d %s in %s", r.status, r.code(), ms(r.took)))
	for _, sort := range product.Sorts() {
		if err := a.walk(n, len(g.published("")), sort.String()); err != nil {
			return err
		}
	}
	total := n.drive(a.ctx, 1, times(tried, func(int) []byte { return request("GET", "/products?limit=1&count=true", "") }))
	a.row(total.only(200) && total.at(0.99) <= bearable, "the total of all", "p99 ≤ "+ms(bearable), fmt.Sprintf("p99 %s, median %s (%s)", ms(total.at(0.99)), ms(total.at(0.5)), total.statuses()))
	return n.alive()
}

const (
	bearable = 50 * time.Millisecond // a page of a search
	tried    = 200                   // requests for each figure
	counted  = 100                   // and for each total of a search
)

// search asks for a text, as nobody and as somebody, in the order of time and by
// name, and compares how many there are with what Go finds.
func (a *trial) search(n *node, g *goods, cookie, text string) error {
	w, err := n.dial()
	if err != nil {
		return err
	}
	defer w.close()
	path := "/products?q=" + url.QueryEscape(text)
	r, err := w.send("GET", path+"&count=true", "")
	if err != nil {
		return err
	}
	var page struct {
		Items []struct{ Name, Description string }
		Total int
	}
	if err := json.Unmarshal(r.body, &page); err != nil || r.status != 200 {
		return fmt.Errorf("GET %s = %d %s", path, r.status, r.body)
	}
	literal := page.Total == len(g.published(text))
	for _, item := range page.Items {
		literal = literal && (strings.Contains(product.Fold(item.Name), product.Fold(text)) || strings.Contains(product.Fold(item.Description), product.Fold(text)))
	}
	l := n.drive(a.ctx, 1, times(tried, func(i int) []byte {
		var who []string
		if i%2 == 1 {
			who = append(who, cookie)
		}
		return request("GET", path+[]string{"", "&sort=name"}[i/2%2], "", who...)
	}))
	name := text
	if len([]rune(name)) > 12 {
		name = fmt.Sprintf("%s… (%d)", string([]rune(name)[:12]), len([]rune(name)))
	}
	a.row(literal && l.only(200) && l.at(0.99) <= bearable, fmt.Sprintf("searching %q", name), "literal, p99 ≤ "+ms(bearable),
		fmt.Sprintf("%d found, by Go %d; p99 %s, median %s (%s)", page.Total, len(g.published(text)), ms(l.at(0.99)), ms(l.at(0.5)), l.statuses()))
	l = n.drive(a.ctx, 1, times(counted, func(int) []byte { return request("GET", path+"&limit=1&count=true", "") }))
	a.row(l.only(200) && l.at(0.99) <= bearable, fmt.Sprintf("the total of %q", name), "p99 ≤ "+ms(bearable),
		fmt.Sprintf("p99 %s, median %s (%s)", ms(l.at(0.99)), ms(l.at(0.5)), l.statuses()))
	return nil
}

// walk reads a list to its end, a hundred at a time: the last pages cost what the
// first do.
func (a *trial) walk(n *node, want int, sort string) error {
	w, err := n.dial()
	if err != nil {
		return err
	}
	defer w.close()
	var took []time.Duration
	seen := map[string]bool{}
	met := 0
	for cursor := ""; ; {
		r, err := w.send("GET", "/products?limit=100&sort="+sort+"&cursor="+cursor, "")
		if err != nil {
			return err
		}
		var page struct {
			Items      []struct{ ID string }
			NextCursor string
		}
		if err := json.Unmarshal(r.body, &page); err != nil || r.status != 200 {
			return fmt.Errorf("page %d by %s = %d %s", len(took), sort, r.status, r.body)
		}
		took = append(took, r.took)
		met += len(page.Items)
		for _, item := range page.Items {
			seen[item.ID] = true
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	tenth := len(took) / 10
	first, last := &load{took: took[:tenth]}, &load{took: took[len(took)-tenth:]}
	a.row(met == want && len(seen) == want && last.at(0.99) <= bearable, "a walk over all by "+sort, "each once, last tenth: p99 ≤ "+ms(bearable),
		fmt.Sprintf("%d met, %d different; p99 %s, median %s; first tenth %s, %s", met, len(seen), ms(last.at(0.99)), ms(last.at(0.5)), ms(first.at(0.99)), ms(first.at(0.5))))
	return nil
}

// texts are what is searched: what LIKE and SQL would take for their own, what
// stands in few products, in about half, in most, and in none, of any length and in
// any script, and what is made of pieces that stand in most, and yet stands in none.
func texts() []string {
	return []string{
		`%`, `_`, `\`, `'`, `%%`, `100%`, `\%`, `' OR TRUE --`, `model_x`,
		"zephyrine", "ZEPHYR", "주전자", "고래", "래", "주전", "가", "없는말", "🏺", "🏺 도자기", "é",
		"a", "z", "x", " ", "an", "ano", commonest, commonest + " be", "qqqq", "zephyrine lamp",
		commonest + commonest, strings.Repeat(commonest+" ", 28), strings.Repeat("qu", 100), strings.Repeat("%", 200),
	}
}

// commonest stands in most descriptions.
const commonest = "lamola"

// goods are products with names and descriptions out of words that are common in
// the way of words: a few stand everywhere, most nearly nowhere.
type goods struct {
	rows []goodsRow
}

type goodsRow struct {
	name, description string
	status            string
}

func newGoods(count int) *goods {
	random := rand.New(rand.NewPCG(19, 19))
	vocabulary := []string{commonest}
	syllables := strings.Fields("ba be bo ca ce co da de do fa fe fo ga ge go la le lo ma me mo na ne no ra re ro sa se so ta te to")
	for len(vocabulary) < 4000 {
		word := ""
		for range 2 + random.IntN(3) {
			if len(vocabulary)%4 == 3 { // a word of Hangul
				word += string(rune(0xAC00 + random.IntN(2000)))
			} else {
				word += syllables[random.IntN(len(syllables))]
			}
		}
		vocabulary = append(vocabulary, word)
	}
	often := rand.NewZipf(random, 1.1, 3, uint64(len(vocabulary)-1))
	words := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = vocabulary[often.Uint64()]
		}
		return strings.Join(list, " ")
	}
	g := &goods{rows: make([]goodsRow, count)}
	for i := range g.rows {
		row := goodsRow{strings.ToUpper(words(2 + random.IntN(2))), words(15 + random.IntN(10)), []string{"published", "published", "published", "draft", "archived"}[i%5]}
		// What is looked for stands here and there, all over the table.
		for _, needle := range []struct {
			every int
			text  string
		}{{997, "100% cotton"}, {1999, "model_x"}, {4999, `a\b`}, {19, "maker's"}, {14_983, "Zephyrine Lamp"}, {14_897, "백자 주전자"}, {14_879, "고래 무늬"}, {14_869, "🏺 도자기"}} {
			if i%needle.every == needle.every/2 {
				row.description += " " + needle.text
			}
		}
		g.rows[i] = row
	}
	return g
}

// published gives the places of what anybody may see that has the text in it.
func (g *goods) published(text string) []int {
	text = product.Fold(text)
	var places []int
	for i, row := range g.rows {
		if row.status == "published" && (text == "" || strings.Contains(product.Fold(row.name), text) || strings.Contains(product.Fold(row.description), text)) {
			places = append(places, i)
		}
	}
	return places
}

// stock fills the catalogue in; of twenty products the only user there is owns
// one, and others the rest.
func (a *trial) stock(g *goods) error {
	if _, err := a.db.Exec(a.ctx, `INSERT INTO users SELECT (jsonb_populate_record(NULL::users, to_jsonb(u) || jsonb_build_object(
		'id', md5(n::text)::uuid, 'email', n || '@example.com', 'email_canonical', n || '@example.com'))).*
		FROM (SELECT * FROM users ORDER BY id LIMIT 1) u, generate_series(1, 19) n`); err != nil {
		return err
	}
	rows, err := a.db.Query(a.ctx, `SELECT id::text FROM users ORDER BY id`)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(7, 7))
	began := time.Now().Add(-time.Duration(len(g.rows)) * time.Minute).UTC().Truncate(time.Microsecond)
	columns := []string{"id", "owner_id", "name", "description", "name_fold", "description_fold", "price_amount", "price_currency", "stock", "status", "version", "created_at", "updated_at"}
	_, err = a.db.CopyFrom(a.ctx, pgx.Identifier{"products"}, columns, pgx.CopyFromSlice(len(g.rows), func(i int) ([]any, error) {
		row, at := g.rows[i], began.Add(time.Duration(i)*time.Minute)
		var tail [8]byte
		for j := range tail {
			tail[j] = byte(random.Uint32())
		}
		owner, _ := user.ParseID(ids[i%len(ids)])
		return []any{
			[16]byte(uuid.New(at, tail)), [16]byte(owner.UUID), row.name, row.description, product.Fold(row.name), product.Fold(row.description),
			int64(random.IntN(5000)) * 100, "KRW", int64(0), row.status, int64(1), at, at,
		}, nil
	}))
	if err == nil {
		_, err = a.db.Exec(a.ctx, `VACUUM (ANALYZE) products`)
	}
	return err
}
