/* A table whose rows keep their place: keyed rows, cells patched in place. Cells are made by parts/table.py. */
export default {
  props: { columns: Array, rows: Array, chosen: String, label: String, clickable: Boolean },
  emits: ["pick"],
  template: `
    <div class="table" :class="{ clickable }">
      <div class="q-table__middle" tabindex="-1">
        <table class="q-table" :aria-label="label">
          <thead><tr><th v-for="c in columns" :key="c.name" :class="c.classes" scope="col">{{ c.label }}</th></tr></thead>
          <tbody>
            <tr v-for="row in rows" :key="row.id" :class="{ chosen: row.id === chosen }" :data-id="row.id"
                :tabindex="clickable ? 0 : undefined" @click="pick($event, row)">
              <td v-for="c in columns" :key="c.name" :class="c.classes">
                <component :is="cell(row, c).href ? 'a' : 'span'" :href="cell(row, c).href" class="cell"
                           :class="cell(row, c).classes" :title="cell(row, c).title" v-if="row[c.name]">
                  <i v-if="cell(row, c).dot" class="dot" :class="cell(row, c).dot" aria-hidden="true"></i>
                  <span v-if="cell(row, c).icon" class="ico" v-html="cell(row, c).icon"></span>
                  <span v-if="cell(row, c).pixels" class="pixels tiny" aria-hidden="true"
                        :style="{ gridTemplateColumns: 'repeat(' + cell(row, c).side + ', 3px)' }"><i
                        v-for="(p, i) in cell(row, c).pixels" :key="i" :style="{ opacity: p }"></i></span>
                  <span v-if="cell(row, c).bar !== undefined" class="cell-bar" :class="'tone-' + cell(row, c).tone"><i
                        :style="{ width: cell(row, c).bar * 100 + '%' }"></i></span>
                  <time v-if="cell(row, c).at" :data-at="cell(row, c).at" class="nowrap"></time>
                  <span v-else-if="cell(row, c).text !== ''">{{ cell(row, c).text }}</span>
                  <span v-if="cell(row, c).sub" class="sub">{{ cell(row, c).sub }}</span>
                </component>
              </td>
            </tr>
          </tbody>
        </table>
      </div>
    </div>`,
  methods: {
    cell(row, column) {
      return row[column.name] ?? {};
    },
    pick(event, row) {
      if (!this.clickable || event.target.closest("a")) return;
      const link = event.currentTarget.querySelector("a");
      if (link) link.click();
      else this.$emit("pick", row.id);
    },
  },
};
